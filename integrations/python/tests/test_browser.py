"""The Flask example under gunicorn, in headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from conftest import Table
from test_examples import GUNICORN, serve

Browser = webdriver.Chrome


@pytest.fixture(scope="module")
def url(table: Table) -> Iterator[str]:
    with serve(table, [*GUNICORN, "flask_app:app"]) as url:
        yield url


@pytest.fixture
def open_browser() -> Iterator[Callable[[], Browser]]:
    driver = shutil.which("chromedriver")
    if driver is None and not os.environ.get("CI"):
        pytest.skip("there is no chromedriver")
    opened: list[Browser] = []

    def open_browser() -> Browser:
        options = webdriver.ChromeOptions()
        for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
            options.add_argument(option)
        opened.append(webdriver.Chrome(options, webdriver.ChromeService(driver)))
        return opened[-1]

    yield open_browser
    for browser in opened:
        browser.quit()


def press(browser: Browser, button: str, user: str = "") -> None:
    if user:
        browser.find_element(By.NAME, "user").send_keys(user)
    browser.execute_script("document.documentElement.id = 'before'")
    browser.find_element(By.XPATH, f"//button[text()='{button}']").click()
    is_new = "return document.readyState === 'complete' && document.documentElement.id !== 'before'"
    WebDriverWait(browser, 20).until(lambda browser: browser.execute_script(is_new))


def shown(browser: Browser) -> str:
    return browser.find_element(By.TAG_NAME, "p").text


def id_of(browser: Browser) -> str:
    cookie = browser.get_cookie("session")
    assert cookie is not None and cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    return str(cookie["value"])


def test_a_login_in_a_browser(url: str, open_browser: Callable[[], Browser]) -> None:
    laptop, phone = open_browser(), open_browser()
    for browser in (laptop, phone):
        browser.get(url)
        press(browser, "Count")
        planted = id_of(browser)
        press(browser, "Log in", "dora")
        assert shown(browser) == "user: dora, visits: 1"
        assert id_of(browser) != planted, "a login gives the session a new ID"

    first = laptop.current_window_handle
    laptop.switch_to.new_window("tab")
    laptop.get(url)
    press(laptop, "Count")
    laptop.switch_to.window(first)
    press(laptop, "Count")
    assert shown(laptop) == "user: dora, visits: 3", "two tabs share the session"

    press(phone, "Log out everywhere")
    assert shown(phone) == "user: None, visits: 0"
    for tab in laptop.window_handles:
        laptop.switch_to.window(tab)
        laptop.refresh()
        assert shown(laptop) == "user: None, visits: 0"


def test_one_device_is_logged_out_from_another(url: str, open_browser: Callable[[], Browser]) -> None:
    laptop, phone = open_browser(), open_browser()
    for browser in (laptop, phone):
        browser.get(url)
        press(browser, "Log in", "<b>eve")
        browser.get(f"{url}/devices")
    laptop.refresh()
    items = [item.text for item in laptop.find_elements(By.TAG_NAME, "li")]
    assert len(items) == 2 and all("on Linux, 127.0.0.1, last used" in item for item in items), items
    assert sum("this device" in item for item in items) == 1
    press(laptop, "Log out there")
    assert ["this device" in item.text for item in laptop.find_elements(By.TAG_NAME, "li")] == [True]
    phone.get(url)
    assert shown(phone) == "user: None, visits: 0"
    laptop.get(url)
    assert "eve" in shown(laptop)
