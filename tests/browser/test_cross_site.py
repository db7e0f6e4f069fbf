"""What a page can do with the session of the browser's user: every call on the service's own origin, nothing on another origin."""

import json

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

# Sends one request and returns what script can read of the response.
FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(
  async (response) => done({ type: response.type, status: response.status, text: await response.text(), etag: response.headers.get('etag') }),
  (error) => done({ type: 'error', error: String(error) }));
"""
ELEMENT = """
const [html, done] = arguments;
const holder = document.createElement('div');
holder.innerHTML = html;
const element = holder.firstChild;
element.onload = () => done('load');
element.onerror = () => done('error');
document.body.append(holder);
"""
JSON = {"content-type": "application/json"}


def fetch(browser, url, method="GET", body=None, headers=None, **options):
    options = {"method": method, "credentials": "include", **options}
    if body is not None:
        options["body"] = body
    return browser.execute_async_script(FETCH, url, {**options, "headers": headers or {}})


def log_in(browser, service):
    """Creates a session for the browser's user from the service's own page. Returns its loggable ID."""
    browser.get(service.url + "/")
    response = fetch(browser, "/session", "POST", json.dumps({"data": {"secret": "s3cret"}}), JSON)
    assert response["status"] == 201, response
    service.events()
    return json.loads(response["text"])["loggable_session_id"]


def test_a_page_of_the_same_origin_can_make_every_call_but_cannot_read_the_id(browser, start):
    service = start(SESSION_ID_TRANSPORT="cookie", SESSION_CLEAR_SITE_DATA="true")
    log_in(browser, service)
    browser.execute_script("localStorage.setItem('kept', 'by the page')")
    (cookie,) = browser.get_cookies()
    assert cookie["name"] == "__Host-id" and cookie["path"] == "/" and cookie["sameSite"] == "Strict"
    assert cookie["httpOnly"] and cookie["secure"] and "expiry" not in cookie
    assert browser.execute_script("return document.cookie") == ""

    loaded = fetch(browser, "/session")
    assert loaded["status"] == 200 and json.loads(loaded["text"])["data"] == {"secret": "s3cret"}
    saved = fetch(browser, "/session", "PUT", '{"data":{"n":2}}', {**JSON, "if-match": loaded["etag"]})
    assert saved["status"] == 204 and saved["etag"]
    renewed = fetch(browser, "/session/renew", "POST")
    assert renewed["status"] == 200 and json.loads(renewed["text"])["data"] == {"n": 2}
    (renewed_cookie,) = browser.get_cookies()
    assert renewed_cookie["value"] != cookie["value"]
    assert all(cookie["value"] not in response["text"] and renewed_cookie["value"] not in response["text"] for response in (loaded, renewed))

    assert fetch(browser, "/session", "DELETE")["status"] == 204
    assert browser.get_cookies() == []
    assert browser.execute_script("return localStorage.getItem('kept')") is None, "Clear-Site-Data"
    assert fetch(browser, "/session")["status"] == 404
    assert [event for event, _ in service.events()] == ["loaded", "saved", "renewed", "cleared", "refused"]


@pytest.mark.parametrize("same_site", ["strict", "lax"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_cannot_read_change_or_extend_the_session(browser, start, other_site_port, host, same_site):
    service = start(SESSION_ID_TRANSPORT="cookie", SESSION_COOKIE_SAME_SITE=same_site, SESSION_TOUCH_INTERVAL_SECONDS="0")
    loggable_id = log_in(browser, service)
    record = service.record(loggable_id)
    (cookie,) = browser.get_cookies()
    page = f"http://{host}:{other_site_port}/"
    session, renew = service.url + "/session", service.url + "/session/renew"

    def refused(attack, reached=True):
        events = service.events()
        # If the preflight fails, the browser does not send the request.
        assert set(events) <= {("refused", "cross-site")} and bool(events) == reached, (attack, events)
        assert service.record(loggable_id) == record, attack

    browser.get(page)
    for mode in ("cors", "no-cors"):
        for method, url, body in [("GET", session, None), ("HEAD", session, None), ("POST", session, '{"data":{}}'), ("POST", renew, None)]:
            response = fetch(browser, url, method, body, mode=mode)
            assert response["type"] == ("error" if mode == "cors" else "opaque") and not response.get("text"), (mode, method, response)
            refused((mode, method), reached=method != "HEAD")
    for method, url, body, headers in [
        ("PUT", session, '{"data":{}}', JSON),
        ("PUT", session, '{"data":{}}', {"content-type": "text/plain"}),
        ("DELETE", session, None, {}),
        ("POST", session, '{"data":{}}', JSON),
        ("POST", renew, None, {"if-match": '"x"'}),
    ]:
        assert fetch(browser, url, method, body, headers)["type"] == "error"
        refused((method, headers), reached=False)
    assert fetch(browser, session, mode="same-origin")["type"] == "error"
    refused("same-origin mode", reached=False)

    assert browser.execute_script("return navigator.sendBeacon(arguments[0], '{}')", session)
    WebDriverWait(browser, 10).until(lambda _: fetch(browser, session, mode="no-cors"))  # sent after the beacon
    refused("beacon")
    for html in (f'<img src="{session}">', f'<iframe src="{session}"></iframe>', f'<object data="{session}"></object>',
                 f'<link rel="stylesheet" href="{session}">'):
        browser.execute_async_script(ELEMENT, html)
        refused(html)

    for enctype in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        for url in (session, renew):
            browser.get(page)
            form = f'<form action="{url}" method="post" enctype="{enctype}"><input name=\'{{"data":{{"a":"\' value=\'"}}}}\'></form>'
            browser.execute_script("document.body.innerHTML = arguments[0]; document.forms[0].submit()", form)
            WebDriverWait(browser, 10).until(lambda b: b.current_url == url and "cross-site" in b.page_source)
            refused((enctype, url))
    for go in ("location = arguments[0]", "document.body.innerHTML = `<a href='${arguments[0]}'>x</a>`; document.links[0].click()"):
        browser.get(page)
        browser.execute_script(go, session)
        WebDriverWait(browser, 10).until(lambda b: b.current_url == session and "cross-site" in b.page_source)
        assert "s3cret" not in browser.page_source
        refused(go)

    # The user's session and its cookie are unchanged.
    browser.get(service.url + "/")
    assert browser.get_cookies() == [cookie]
    assert json.loads(fetch(browser, "/session")["text"])["data"] == {"secret": "s3cret"}


def test_a_page_of_an_allowed_origin_can_read_and_change_the_session(browser, start, other_site_port):
    origin = f"http://localhost:{other_site_port}"
    service = start(SESSION_ID_TRANSPORT="cookie", SESSION_ALLOWED_ORIGINS=f"https://app.example.com,{origin}")
    log_in(browser, service)
    session = service.url + "/session"
    browser.get(origin + "/")
    loaded = fetch(browser, session)
    assert json.loads(loaded["text"])["data"] == {"secret": "s3cret"} and loaded["etag"]
    assert fetch(browser, session, "PUT", '{"data":{"n":1}}', {**JSON, "if-match": loaded["etag"]})["status"] == 204
    assert fetch(browser, service.url + "/session/renew", "POST")["status"] == 200
    assert fetch(browser, session, "DELETE")["status"] == 204
    assert [event for event, _ in service.events()] == ["loaded", "saved", "renewed", "cleared"]

    # The request of an image does not carry the page's origin, so it is refused here too.
    browser.execute_async_script(ELEMENT, f'<img src="{session}">')
    assert service.events() == [("refused", "cross-site")]
    # Another site would get no access even if it were on the list: its requests do not carry the cookie.
    browser.get(f"http://127.0.0.1:{other_site_port}/")
    assert fetch(browser, session)["type"] == "error"
    assert browser.find_element(By.TAG_NAME, "body").text == ""
