"""Sessions in Django: Django's own suite for session back ends, and ``django.contrib.auth``.

The suite is in Django's source distribution, which is downloaded into ``.cache`` and is not part of this project.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings

from conftest import AT_ONCE, Proxy, Table, changes, source
from dynamodb_web_session import ManualClock

CLOCK = ManualClock()

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": tempfile.mkstemp()[1]}},
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "dynamodb_web_session",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        LOGIN_REDIRECT_URL="/",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [
                        (
                            "django.template.loaders.locmem.Loader",
                            {
                                "login.html": "{{ form.non_field_errors }}",
                                "devices.html": "{% for each in devices %}{{ each.label }}={{ each.name }};{% endfor %}",
                            },
                        ),
                        "django.template.loaders.app_directories.Loader",
                    ],
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ],
                },
            }
        ],
        SECRET_KEY="only for tests",
        SESSION_ENGINE="dynamodb_web_session.django",
    )
    django.setup()

from django.contrib import admin, auth
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.auth.views import LoginView
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.views.generic import TemplateView

from dynamodb_web_session import TooManySessionsError
from dynamodb_web_session.django import (
    LoginFormMixin,
    SessionStore,
    async_sessions,
    confirm_login,
    log_out_everywhere,
    requires_login_within,
    revoke,
    sessions,
    sessions_of,
)
from dynamodb_web_session.django_devices import DevicesMixin, SessionsAdminMixin


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


def devices(request: HttpRequest) -> JsonResponse:
    listed = sessions_of(request.user, request.session)
    return JsonResponse({"devices": [(each.name, each.label, each.context, each.is_current) for each in listed]})


def end(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse({"ended": revoke(request.user, name)})


@requires_login_within(10, login_url="/again")
def serious(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done")


@requires_login_within(10, login_url="/again")
async def aserious(request: HttpRequest) -> HttpResponse:
    return HttpResponse("done")


def confirm(request: HttpRequest) -> HttpResponse:
    confirm_login(request)
    return HttpResponse()


class Devices(LoginRequiredMixin, DevicesMixin, TemplateView):
    template_name = "devices.html"


class Users(SessionsAdminMixin, UserAdmin):  # type: ignore[type-arg]
    pass


admin.site.unregister(User)
admin.site.register(User, Users)

MEANWHILE: list[Any] = []


def change(request: HttpRequest) -> HttpResponse:
    given = json.loads(request.GET["changes"])
    request.session.update(given.get("set", {}))
    for key in given.get("remove", []):
        request.session.pop(key, None)
    during(request)
    return HttpResponse()


def set_key(request: HttpRequest, key: str, value: str) -> HttpResponse:
    request.session[key] = value
    during(request)
    return HttpResponse()


def pop_key(request: HttpRequest, key: str) -> HttpResponse:
    request.session.pop(key, None)
    during(request)
    return HttpResponse()


def everything(request: HttpRequest) -> JsonResponse:
    data = dict(request.session.items())
    during(request)
    return JsonResponse(data)


def remember(request: HttpRequest, name: str, seconds: int) -> HttpResponse:
    request.session.set_expiry(seconds)
    auth.login(request, User.objects.get(username=name))
    return JsonResponse({"age": request.session.get_expiry_age()})


PROXIES: list[Proxy] = []


def no_json_after_login(request: HttpRequest, name: str) -> HttpResponse:
    auth.login(request, User.objects.get(username=name))
    request.session["seen"] = object()
    return HttpResponse()


def outage_after_login(request: HttpRequest, name: str) -> HttpResponse:
    auth.login(request, User.objects.get(username=name))
    request.session["seen"] = 1
    PROXIES[0].is_outage = True
    return HttpResponse()


def login_unguarded(request: HttpRequest, name: str) -> HttpResponse:
    request.session["cart"] = ["pear"]
    during(request)
    auth.login(request, User.objects.get(username=name))
    return HttpResponse()


def goodbye(request: HttpRequest) -> HttpResponse:
    during(request)
    auth.logout(request)
    request.session["message"] = "good bye"
    return HttpResponse()


def clear(request: HttpRequest) -> HttpResponse:
    request.session.clear()
    return HttpResponse()


def others(request: HttpRequest) -> HttpResponse:
    log_out_everywhere(request.user, except_=request.session)  # nothing has read the session before
    return HttpResponse()


def fail_after_login(request: HttpRequest, name: str) -> HttpResponse:
    auth.login(request, User.objects.get(username=name))
    raise RuntimeError("after the login")


class LoginWithForm(LoginFormMixin, LoginView):
    template_name = "login.html"


class StockLogin(LoginView):
    template_name = "login.html"


def during(request: HttpRequest) -> None:
    """What the same browser does meanwhile."""
    if DURING:
        other, act = DURING.pop()
        act(other)


def with_during(client: Client, path: str, act: Callable[[Client], Any], **query: str) -> Any:
    other = Client()
    other.cookies = client.cookies
    DURING.append((other, act))
    return client.get(path, query)


DURING: list[Any] = []
urlpatterns = [
    path("", page),
    path("async", apage),
    path("shop", shop),
    path("login/<name>", login),
    path("alogin/<name>", alogin),
    path("logout", logout),
    path("password", password),
    path("slow", slow),
    path("change", change),
    path("set/<key>/<value>", set_key),
    path("pop/<key>", pop_key),
    path("all", everything),
    path("remember/<name>/<int:seconds>", remember),
    path("login-unguarded/<name>", login_unguarded),
    path("outage-after-login/<name>", outage_after_login),
    path("no-json-after-login/<name>", no_json_after_login),
    path("goodbye", goodbye),
    path("clear", clear),
    path("others", others),
    path("fail/<name>", fail_after_login),
    path("form", LoginWithForm.as_view()),
    path("stock-form", StockLogin.as_view()),
    path("devices", devices),
    path("end/<name>", end),
    path("serious", serious),
    path("aserious", aserious),
    path("confirm", confirm),
    path("my-devices", Devices.as_view()),
    path("admin/", admin.site.urls),
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


@pytest.mark.parametrize("use_tz", [True, False])
def test_djangos_own_suite_for_back_ends(table: Table, tmp_path: Path, use_tz: bool) -> None:
    django_source = source("Django", django.get_version())
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
        "DYNAMODB_SESSION = {'idle_timeout_seconds': 1209600, 'absolute_timeout_seconds': 1209600}\n"  # Django's own age
        f"USE_TZ = {use_tz}\n"
    )
    path = [str(tmp_path), str(django_source / "tests"), *sys.path]
    environment = table.environment() | {
        "PYTHONPATH": os.pathsep.join(path),
        "DJANGO_SETTINGS_MODULE": "suite_settings",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "django", "test", "suite.Suite"], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "Ran 65 tests" in ended.stderr, ended.stderr


DIFFERENCES = {
    # It looks into Django's own table. And a session that becomes empty ends here.
    "test_empty_session_saved",
    # A flush of an ID that no session has leaves the cookie alone: it may be that of a newer login.
    "test_session_delete_on_end",
    "test_session_delete_on_end_with_custom_domain_and_path",
    # The cookie is set again whenever the life of the session was extended, about once a minute, with this setting or without.
    "test_save_every_request_with_non_empty_session_renews_session_cookie",
}


@pytest.mark.skipif("AWS_ENDPOINT_URL_DYNAMODB" in os.environ, reason="once is enough")
@pytest.mark.parametrize("use_tz", [True, False])
def test_djangos_own_tests_of_what_uses_sessions(table: Table, tmp_path: Path, use_tz: bool) -> None:
    settings = {
        "DATABASES": {name: {"ENGINE": "django.db.backends.sqlite3"} for name in ("default", "other")},
        "SECRET_KEY": "only for tests",
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
        "USE_TZ": use_tz,
        "SESSION_ENGINE": "dynamodb_web_session.django",
        "DYNAMODB_SESSION": {"idle_timeout_seconds": 1209600, "absolute_timeout_seconds": 1209600},
    }
    text = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    (tmp_path / "own_settings.py").write_text(text)
    django_source = source("Django", django.get_version())
    path = [str(tmp_path), str(django_source), *sys.path]
    applications = [
        "auth_tests",
        "messages_tests",
        "csrf_tests",
        "test_client",
        "test_client_regress",
        "sessions_tests",
    ]
    ended = subprocess.run(
        [sys.executable, "runtests.py", "--settings=own_settings", "--parallel=1", *applications],
        cwd=django_source / "tests",
        env=table.environment() | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
    )
    failed = set(re.findall(r"^(?:FAIL|ERROR): (\w+)", ended.stderr, re.M))
    # Their dates have no zone: they fail with Django's own sessions too.
    without_zone = {"setUpClass", "test_user_change_email", "test_user_not_change"} if use_tz else set()
    assert failed == DIFFERENCES | without_zone, ended.stderr[-5000:]
    assert re.search(r"Ran 19\d\d tests", ended.stderr), ended.stderr


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
    from datetime import timedelta

    def ends_after(key: str, *, idle: int, absolute: int) -> None:
        session = sessions().peek(key)
        assert session is not None
        assert (session.idle_timeout_seconds, session.absolute_timeout_seconds) == (idle, absolute)

    ends_after(store(), idle=7200, absolute=43200)
    ends_after(store(value=600), idle=600, absolute=43200)
    ends_after(store(value=14 * 86400), idle=14 * 86400, absolute=14 * 86400)
    ends_after(store(value=90 * 86400), idle=30 * 86400, absolute=30 * 86400)
    ends_after(store(value=0), idle=7200, absolute=43200)
    session = sessions().peek(store(value=CLOCK.now() + timedelta(seconds=1000)))
    assert session is not None and session.absolute_timeout_seconds == 1000
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


def all_of(client: Client) -> Any:
    return client.get("/all").json()


def test_the_cases_of_requests_at_once() -> None:
    for case in AT_ONCE:
        client = Client()
        client.get("/change", changes({"set": case["stored"]}))

        def meanwhile(other: Client, case: Any = case) -> None:
            other.get("/change", changes(case["meanwhile"]))

        with_during(client, "/change", meanwhile, **changes(case["request"]))
        assert all_of(client) == case["left"], case["rule"]


def test_requests_at_once_do_not_lose_each_others_changes() -> None:
    client = Client()
    client.get("/set/x/0")
    with_during(client, "/set/a/1", lambda other: other.get("/set/b/2"))
    assert all_of(client) == {"x": "0", "a": "1", "b": "2"}
    with_during(client, "/pop/x", lambda other: other.get("/set/c/3"))
    assert all_of(client) == {"a": "1", "b": "2", "c": "3"}
    client.get("/pop/a")
    client.get("/pop/b")
    with_during(client, "/pop/c", lambda other: other.get("/set/d/4"))
    assert all_of(client) == {"d": "4"}, "the last key goes beside another change"


@pytest.mark.parametrize("saves_every_request", [False, True])
def test_a_slow_and_a_late_request_leave_the_cookie_of_a_login(saves_every_request: bool) -> None:
    with override_settings(SESSION_SAVE_EVERY_REQUEST=saves_every_request):
        client = Client()
        client.get("/set/x/0")
        old = key(client)
        for path, status, user in (("/pop/nothing", 200, "alice"), ("/all", 200, "bob"), ("/set/y/1", 400, "carol")):

            def log_in(other: Client, user: str = user) -> None:
                other.get(f"/login/{user}")

            answer = with_during(client, path, log_in)
            assert answer.status_code == status and not answer.cookies, path
            assert client.get("/").json()["user"] == user
        late = with_key(old)
        for path, status in (("/pop/nothing", 200), ("/all", 200), ("/set/y/1", 400)):
            answer = late.get(path)
            assert answer.status_code == status and not answer.cookies, path
        dead = with_key(key(client))
        client.get("/logout")
        client.get("/login/alice")
        for path in ("/all", "/", "/logout"):
            assert not dead.get(path).cookies, path


def test_a_double_click_on_log_in() -> None:
    client = Client()
    client.get("/set/x/0")
    answer = with_during(client, "/login-unguarded/alice", lambda other: other.get("/login/alice"))
    assert answer.status_code == 200 and client.get("/").json()["user"] == "alice"


def test_a_login_is_one_transaction_and_the_same_user_keeps_the_key(table: Table, proxy: Proxy) -> None:
    seen = []

    def receiver(sender: Any, request: HttpRequest, **_: Any) -> None:
        seen.append(request.session.session_key)

    User.objects.create_user("frank", password="old")  # who has no list yet
    user_logged_in.connect(receiver)
    user_logged_in.receivers.insert(0, user_logged_in.receivers.pop())  # as one that was connected before the engine
    try:
        with override_settings(DYNAMODB_SESSION=table.settings() | {"endpoint_url": proxy.url}):
            client = Client()
            client.get("/set/cart/apple")
            operations = proxy.of(lambda: client.get("/login/frank"))
            assert operations == ["GetItem", "GetItem", "TransactWriteItems"]
            assert seen == [key(client)] and len(key(client)) == 40
            before = key(client)
            assert "TransactWriteItems" not in proxy.of(lambda: client.get("/login/frank"))
            assert key(client) == before, "as with Django's own back ends"
            client.get("/login/bob")
            assert client.get("/").json() == {"user": "bob", "cart": None}
    finally:
        user_logged_in.disconnect(receiver)


def test_a_refused_login_leaves_the_user_out(table: Table) -> None:
    limited = table.settings() | {"max_per_subject": 1, "at_max_per_subject": "refuse"}
    with override_settings(DYNAMODB_SESSION=limited):
        Client().get("/login/dave")
        for path in ("/login-unguarded/dave", "/form", "/stock-form"):
            client = Client()
            client.get("/set/x/0")
            before = key(client)
            if "form" in path:
                answer = client.post(path, {"username": "dave", "password": "old"})
            else:
                answer = client.get(path)
            if path == "/form":
                assert answer.status_code == 200 and "logged in too often" in answer.content.decode()
            else:
                assert answer.status_code == 409
            assert "sessionid" not in answer.cookies and key(client) == before
            assert all_of(client) == {"x": "0"} and client.get("/").json()["user"] == "", path
            visitor = Client()
            visitor.get("/login-unguarded/dave")
            assert not visitor.cookies
        log_out_everywhere(User.objects.get(username="dave"))


def test_an_outage_is_503_and_changes_nothing(table: Table, proxy: Proxy) -> None:
    with override_settings(DYNAMODB_SESSION=table.settings() | {"endpoint_url": proxy.url}):
        client = Client()
        client.get("/set/x/0")
        before = key(client)
        with proxy.outage():
            for path in ("/all", "/set/y/1", "/login-unguarded/alice", "/goodbye", "/others"):
                answer = client.get(path)
                assert answer.status_code == 503 and answer.headers["retry-after"] == "1", path
                assert not answer.cookies
            answer = Client().get("/login-unguarded/alice")
            assert answer.status_code == 503 and not answer.cookies
        assert key(client) == before and all_of(client) == {"x": "0"}


def test_a_login_stays_when_the_rest_of_its_request_cannot_be_stored(table: Table, proxy: Proxy) -> None:
    with override_settings(DYNAMODB_SESSION=table.settings() | {"endpoint_url": proxy.url}):
        client = Client()
        client.get("/set/x/0")
        PROXIES.append(proxy)
        answer = client.get("/outage-after-login/alice")
        PROXIES.clear()
        proxy.is_outage = False
        assert answer.status_code == 503
        assert client.get("/").json()["user"] == "alice" and all_of(client)["x"] == "0"
        client = Client(raise_request_exception=False)
        client.get("/set/x/0")
        assert client.get("/no-json-after-login/alice").status_code == 500
        assert client.get("/").json()["user"] == "alice" and all_of(client)["x"] == "0"


def test_an_expiry_that_was_set_before_a_login_holds() -> None:
    for seconds, absolute in ((14 * 86400, 14 * 86400), (300, 43200)):
        for begins in ((), ("/set/x/0",)):
            client = Client()
            for page in begins:
                client.get(page)
            age = client.get(f"/remember/alice/{seconds}").json()["age"]
            record = sessions().peek(key(client))
            assert record is not None
            assert (record.idle_timeout_seconds, record.absolute_timeout_seconds) == (seconds, absolute)
            assert age == client.cookies["sessionid"]["max-age"] == seconds


def test_cookie_and_record_live_equally_long() -> None:
    client = Client()
    client.get("/set/x/0")
    for _ in range(3):
        CLOCK.advance(3600)
        client.get("/all")
        record = sessions().peek(key(client))
        assert record is not None
        assert (record.expires - CLOCK.now()).total_seconds() == client.cookies["sessionid"]["max-age"] == 7200
        assert SessionStore(key(client)).get_expiry_age() == 7200
    assert not client.get("/all").cookies, "nothing has slid"
    with override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True):
        CLOCK.advance(3600)
        assert not client.get("/all").cookies


def test_a_logout_that_says_good_bye_while_the_page_polls() -> None:
    client = Client()
    client.get("/login/carol")
    stolen = key(client)
    with_during(client, "/goodbye", lambda other: other.get("/set/b/2"))
    assert sessions().peek(stolen) is None and sessions_of(User.objects.get(username="carol")) == []
    assert all_of(client) == {"message": "good bye"}


def test_a_session_that_is_cleared_before_it_was_read_ends() -> None:
    client = Client()
    client.get("/login/carol")
    stolen = key(client)
    client.get("/clear")
    assert sessions().peek(stolen) is None and "sessionid" not in {n for n, c in client.cookies.items() if c.value}


def test_log_out_everywhere_else_before_the_session_was_read() -> None:
    here, elsewhere = Client(), Client()
    for client in (here, elsewhere):
        client.get("/login/alice")
    here.get("/others")
    assert here.get("/").json()["user"] == "alice" and elsewhere.get("/").json()["user"] == ""


def test_a_failure_after_a_login_keeps_the_session() -> None:
    client = Client(raise_request_exception=False)
    client.get("/set/x/0")
    assert client.get("/fail/alice").status_code == 500
    assert client.get("/").json()["user"] == "alice"


def test_signals_without_a_session() -> None:
    from django.test import RequestFactory

    user = User.objects.get(username="alice")
    for request in (None, RequestFactory().post("/token")):
        user_logged_in.send(sender=User, request=request, user=user)
    request = RequestFactory().post("/token")
    request.session = SessionStore()
    user_logged_in.send(sender=User, request=request, user=user)
    assert request.session.session_key is None, "a login with a token makes no session"


def test_a_serializer_that_is_not_json_is_named() -> None:
    with override_settings(SESSION_SERIALIZER=f"{__name__}.Pickle"):
        session = SessionStore()
        session["n"] = 1
        with pytest.raises(ImproperlyConfigured, match="SESSION_SERIALIZER must make JSON text"):
            session.save()


class Pickle:
    def dumps(self, data: dict[str, Any]) -> bytes:
        import pickle

        return pickle.dumps(data)

    def loads(self, data: bytes) -> dict[str, Any]:
        raise AssertionError


def test_a_date_without_a_zone(table: Table) -> None:
    from datetime import timedelta

    from django.utils.timezone import now

    with override_settings(USE_TZ=False, DYNAMODB_SESSION=table.settings()):
        for expiry in (timedelta(hours=1), now() + timedelta(hours=1)):
            session = SessionStore()
            session["n"] = 1
            session.set_expiry(expiry)
            session.save()
            assert 3500 < session.get_expiry_age() <= 3700


MOVE = {"engine": "django.contrib.sessions.backends.db", "until": "2100-01-01"}


def former_session(**data: Any) -> Any:
    """A session of Django's database back end, and a browser that has its cookie."""
    from django.contrib.sessions.backends.db import SessionStore as Former

    with override_settings(SESSION_ENGINE=MOVE["engine"]):
        client = Client()
        former = Former()
        former.update(data)
        former.save()
        client.cookies["sessionid"] = str(former.session_key)
    return client, former


@pytest.mark.parametrize("is_async", [False, True])
def test_a_session_of_the_database_is_moved_with_its_user_and_deleted_there(is_async: bool) -> None:
    user = User.objects.create_user(f"mover-{is_async}", password="old")
    client, former = former_session(
        cart=["apple"],
        _auth_user_id=str(user.pk),
        _auth_user_backend="django.contrib.auth.backends.ModelBackend",
        _auth_user_hash=user.get_session_auth_hash(),
    )
    with override_settings(DYNAMODB_SESSION_MOVE=MOVE):
        page = "/async" if is_async else "/"
        assert client.get(page).json() == {"user": user.username, "cart": ["apple"]}
        moved = key(client)
        assert moved != former.session_key
        assert not former.exists(former.session_key)
        assert len(sessions_of(user)) == 1
        assert client.get(page).json() == {"user": user.username, "cart": ["apple"]}
        assert key(client) == moved
        log_out_everywhere(user)
        assert client.get(page).json() == {"user": "", "cart": None}


def test_a_session_of_the_database_is_not_moved_after_the_end_date_or_without_the_setting() -> None:
    for move in (MOVE | {"until": "2020-01-01"}, None):
        client, former = former_session(cart=["pear"])
        with override_settings(DYNAMODB_SESSION_MOVE=move):
            assert client.get("/").json() == {"user": "", "cart": None}
        assert former.exists(former.session_key)


def test_an_anonymous_session_is_moved_too() -> None:
    client, former = former_session(cart=["plum"])
    with override_settings(DYNAMODB_SESSION_MOVE=MOVE):
        for _ in range(2):
            assert client.get("/").json() == {"user": "", "cart": ["plum"]}
    assert not former.exists(former.session_key)


def test_a_user_sees_where_they_are_logged_in_and_ends_one() -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    laptop, phone = Client(headers={"User-Agent": agent}), Client(REMOTE_ADDR="192.0.2.7")
    User.objects.create_user("erin", password="old")
    laptop.get("/login/erin")
    CLOCK.advance(1)
    phone.get("/login/erin")
    [other, this] = laptop.get("/devices").json()["devices"]
    assert (other[1:], this[1:]) == (
        [None, {"address": "192.0.2.7"}, False],
        ["Firefox on Linux", {"address": "127.0.0.1"}, True],
    )
    stranger = Client()
    stranger.get("/login/bob")
    assert stranger.get(f"/end/{other[0]}").json() == {"ended": False}
    assert laptop.get(f"/end/{other[0]}").json() == {"ended": True}
    assert phone.get("/").json()["user"] == "" and laptop.get("/").json()["user"] == "erin"


def test_something_serious_needs_a_recent_login() -> None:
    client = Client()
    assert client.get("/serious").headers["Location"] == "/again?next=/serious"
    client.get("/login/carol")
    assert client.get("/serious").content == b"done" and client.get("/aserious").content == b"done"
    CLOCK.advance(601)
    assert client.get("/serious").status_code == 302 and client.get("/aserious").status_code == 302
    before = key(client)
    client.get("/login/carol")  # once more: Django keeps the key
    assert key(client) == before and client.get("/serious").content == b"done"
    CLOCK.advance(601)
    assert client.get("/serious").status_code == 302
    client.get("/confirm")
    assert client.get("/serious").content == b"done"


def test_a_login_with_a_token_confirms_nothing() -> None:
    client = Client()
    client.get("/login/carol")
    CLOCK.advance(601)
    request = HttpRequest()
    request.session = SessionStore(key(client))
    assert request.session["_auth_user_id"]
    user_logged_in.send(User, request=request, user=User.objects.get(username="bob"))
    assert client.get("/serious").status_code == 302


def test_the_page_of_a_user_and_that_of_the_admin() -> None:
    User.objects.create_user("heidi", password="old")
    laptop, phone = Client(headers={"User-Agent": "<b>curl/8"}), Client(headers={"User-Agent": "curl/8"})
    for client in (laptop, phone):
        client.get("/login/heidi")
        CLOCK.advance(1)
    assert Client().get("/my-devices").status_code == 302
    listed = [each.split("=") for each in laptop.get("/my-devices").content.decode().split(";") if each]
    assert [label for label, _ in listed] == ["curl", "None"]
    assert laptop.post("/my-devices", {"name": listed[0][1]}).status_code == 302
    assert phone.get("/").json()["user"] == "" and laptop.get("/").json()["user"] == "heidi"
    phone.get("/login/heidi")
    laptop.post("/my-devices")
    assert phone.get("/").json()["user"] == "" and laptop.get("/").json()["user"] == "heidi"

    heidi = User.objects.get(username="heidi")
    url = f"/admin/auth/user/{heidi.pk}/sessions/"
    assert laptop.get(url).status_code == 302, "no member of the staff"
    User.objects.create_superuser("root", password="old")
    User.objects.create_user("clerk", password="old", is_staff=True)
    root, clerk = Client(), Client()
    root.get("/login/root")
    clerk.get("/login/clerk")
    assert clerk.get(url).status_code == 403 and clerk.post(url).status_code == 403
    sessions().update(key(laptop), label="<script>")
    page = root.get(url).content.decode()
    assert "&lt;script&gt;" in page and "<script>" not in page
    assert root.post(url).status_code == 302
    assert laptop.get("/").json()["user"] == ""
    assert "not logged in" in root.get(url).content.decode()
