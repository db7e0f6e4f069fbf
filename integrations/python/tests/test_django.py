"""Sessions in Django: Django's own suite for session back ends, and ``django.contrib.auth``.

The suite is in Django's source distribution, which is downloaded into ``.cache`` and is not part of this project.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings

from conftest import Table
from dynamodb_web_session import ManualClock

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".cache"
CLOCK = ManualClock()

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tempfile.mkstemp()[1]}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="only for tests",
        SESSION_ENGINE="dynamodb_web_session.django",
    )
    django.setup()

from django.contrib import auth
from django.contrib.auth.models import User
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from dynamodb_web_session import TooManySessionsError
from dynamodb_web_session.django import SessionStore, async_sessions, log_out_everywhere, sessions


def page(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username(), "cart": request.session.get("cart")})


async def apage(request: HttpRequest) -> JsonResponse:
    user = await request.auser()
    return JsonResponse({"user": user.get_username(), "cart": await request.session.aget("cart")})


def shop(request: HttpRequest) -> HttpResponse:
    request.session["cart"] = [*request.session.get("cart", []), "apple"]
    return HttpResponse()


def login(request: HttpRequest, name: str) -> HttpResponse:
    try:
        auth.login(request, User.objects.get(username=name))
    except TooManySessionsError:
        return HttpResponse(status=409)
    return HttpResponse()


async def alogin(request: HttpRequest, name: str) -> HttpResponse:
    await auth.alogin(request, await User.objects.aget(username=name))
    return HttpResponse()


def logout(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return HttpResponse()


def password(request: HttpRequest) -> HttpResponse:
    request.user.set_password("new")
    request.user.save()
    auth.update_session_auth_hash(request, request.user)  # type: ignore[arg-type]
    log_out_everywhere(request.user, except_=request.session)
    return HttpResponse()


def slow(request: HttpRequest) -> HttpResponse:
    request.session["slow"] = True
    MEANWHILE[0](request.session.session_key)
    return HttpResponse("secret of the user")


MEANWHILE: list[Any] = []
urlpatterns = [
    path("", page),
    path("async", apage),
    path("shop", shop),
    path("login/<name>", login),
    path("alogin/<name>", alogin),
    path("logout", logout),
    path("password", password),
    path("slow", slow),
]


@pytest.fixture(scope="module", autouse=True)
def users(table: Table) -> None:
    settings.DYNAMODB_SESSION = table.settings() | {"clock": CLOCK}
    call_command("migrate", verbosity=0)
    for name in ("alice", "bob", "carol", "dave"):
        User.objects.create_user(name, password="old")


def key(client: Client) -> str:
    return str(client.cookies["sessionid"].value)


def with_key(value: str) -> Client:
    client = Client()
    client.cookies["sessionid"] = value
    return client


def test_djangos_own_suite_for_back_ends(table: Table, tmp_path: Path) -> None:
    version = django.get_version()
    source = CACHE / f"django-{version}"
    if not source.is_dir():
        CACHE.mkdir(exist_ok=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            str(CACHE),
        ]
        subprocess.run([*pip, f"Django=={version}"], check=True)
        with tarfile.open(CACHE / f"django-{version}.tar.gz") as archive:
            archive.extractall(CACHE)
    (tmp_path / "suite.py").write_text(
        "from django.test import SimpleTestCase\n"
        "from sessions_tests.tests import SessionTestsMixin\n"
        "from dynamodb_web_session.django import SessionStore\n"
        "class Suite(SessionTestsMixin, SimpleTestCase):\n"
        "    backend = SessionStore\n"
    )
    (tmp_path / "suite_settings.py").write_text(
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
        "INSTALLED_APPS = ['django.contrib.sessions', 'sessions_tests']\n"
        "SECRET_KEY = 'only for tests'\n"
        "USE_TZ = True\n"
    )
    path = [str(tmp_path), str(source / "tests"), *sys.path]
    environment = table.environment() | {
        "PYTHONPATH": os.pathsep.join(path),
        "DJANGO_SETTINGS_MODULE": "suite_settings",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "django", "test", "suite.Suite"], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "Ran 65 tests" in ended.stderr, ended.stderr


def test_a_login_gives_a_new_id_and_keeps_the_data() -> None:
    client = Client()
    client.get("/shop")
    planted = key(client)
    client.get("/login/alice")
    assert key(client) != planted
    assert client.get("/").json() == {"user": "alice", "cart": ["apple"]}
    assert with_key(planted).get("/").json() == {"user": "", "cart": None}
    session = sessions().load(key(client))
    assert session is not None and session.subject == str(User.objects.get(username="alice").pk)


def test_a_logout_ends_the_session() -> None:
    client = Client()
    client.get("/login/alice")
    stolen = key(client)
    client.get("/logout")
    assert key(client) == "" and with_key(stolen).get("/").json()["user"] == ""
    assert sessions().load(stolen) is None


def test_a_password_change_logs_out_everywhere_else() -> None:
    laptop, phone = Client(), Client()
    for client in (laptop, phone):
        client.get("/login/bob")
    assert laptop.get("/password").status_code == 200
    assert laptop.get("/").json()["user"] == "bob"
    assert sessions().load(key(phone)) is None
    assert phone.get("/").json()["user"] == ""
    log_out_everywhere(User.objects.get(username="bob"))
    assert laptop.get("/").json()["user"] == ""


def test_a_request_does_not_bring_back_a_session_that_was_logged_out() -> None:
    client = Client()
    client.get("/login/carol")
    value = key(client)
    MEANWHILE[:] = [lambda key: sessions().clear(key)]
    response = client.get("/slow")
    assert response.status_code == 400 and b"secret" not in response.content
    assert sessions().load(value) is None


def test_asynchronous_views() -> None:
    import asyncio

    async def use() -> None:
        client = AsyncClient()
        assert (await client.get("/async")).json() == {"user": "", "cart": None}
        await client.get("/shop")
        planted = client.cookies["sessionid"].value
        await client.get("/alogin/dave")
        assert client.cookies["sessionid"].value != planted
        assert (await client.get("/async")).json() == {"user": "dave", "cart": ["apple"]}
        loaded = await async_sessions().load(client.cookies["sessionid"].value)
        assert loaded is not None and loaded.subject is not None
        await client.get("/logout")
        assert (await client.get("/async")).json() == {"user": "", "cart": None}

    asyncio.run(use())


def test_a_user_with_too_many_sessions(table: Table) -> None:
    settings.DYNAMODB_SESSION = table.settings() | {
        "clock": CLOCK,
        "max_per_subject": 1,
        "at_max_per_subject": "refuse",
    }
    sessions.cache_clear()
    try:
        log_out_everywhere(User.objects.get(username="carol"))
        assert Client().get("/login/carol").status_code == 200
        refused = Client()
        assert refused.get("/login/carol").status_code == 409
        assert refused.get("/").json()["user"] == ""
    finally:
        settings.DYNAMODB_SESSION = table.settings() | {"clock": CLOCK}
        sessions.cache_clear()


def test_a_visitor_without_a_session_costs_no_record(table: Table) -> None:
    before = table.records()
    for value in ("", "x" * 32, "A" * 43, "nonsense"):
        response = with_key(value).get("/")
        assert response.json() == {"user": "", "cart": None}
    assert table.records() == before


def store(**expiry: Any) -> str:
    session = SessionStore()
    session["n"] = 1
    if expiry:
        session.set_expiry(expiry["value"])
    session.save()
    return str(session.session_key)


def test_timeouts() -> None:
    from datetime import datetime, timedelta, timezone

    def ends_after(key: str, *, idle: int, absolute: int) -> None:
        session = sessions().peek(key)
        assert session is not None
        assert (session.idle_timeout_seconds, session.absolute_timeout_seconds) == (idle, absolute)

    ends_after(store(), idle=7200, absolute=43200)
    ends_after(store(value=600), idle=600, absolute=43200)
    ends_after(store(value=14 * 86400), idle=14 * 86400, absolute=14 * 86400)
    ends_after(store(value=90 * 86400), idle=30 * 86400, absolute=30 * 86400)
    ends_after(store(value=0), idle=7200, absolute=43200)
    session = sessions().peek(store(value=datetime.now(timezone.utc) + timedelta(seconds=1000)))
    assert session is not None and 990 < session.absolute_timeout_seconds <= 1000
    with override_settings(SESSION_COOKIE_AGE=900):
        ends_after(store(), idle=900, absolute=43200)


def test_an_expiry_that_is_set_later() -> None:
    session = SessionStore(store())
    session.set_expiry(-1)
    session.save()
    assert sessions().peek(str(session.session_key)) is None


def test_data_that_was_replaced_before_it_was_loaded() -> None:
    first = store()
    session = SessionStore(first)
    session.clear()
    session["m"] = 2
    session.save()
    assert session.session_key == first and SessionStore(first).load() == {"m": 2}


def test_a_serializer_of_ones_own() -> None:
    with override_settings(SESSION_SERIALIZER=f"{__name__}.Flat"):
        first = store()
        record = sessions().peek(first)
        assert record is not None and record.json == '["n",1]'
        assert SessionStore(first).load() == {"n": 1}


class Flat:
    """Writes JSON, of another form."""

    def dumps(self, data: dict[str, Any]) -> bytes:
        return ("[" + ",".join(f'"{key}",{value}' for key, value in data.items()) + "]").encode()

    def loads(self, data: bytes) -> dict[str, Any]:
        import json

        flat = json.loads(data)
        return dict(zip(flat[::2], flat[1::2], strict=True))
