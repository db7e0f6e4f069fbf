"""A login with Django: ``python django_app.py migrate``, then ``createsuperuser`` for a first user, and ``runserver``; or as WSGI and ASGI
applications ``django_app:application`` and ``django_app:asynchronous``."""

import os
import sys

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("USERS", "users.sqlite3")}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        # Where browsers send forms, CsrfViewMiddleware belongs here.
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    SESSION_ENGINE="dynamodb_web_session.django",
)
django.setup()

from django.contrib import auth
from django.core.asgi import get_asgi_application
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from dynamodb_web_session.django import log_out_everywhere


def page(request: HttpRequest) -> JsonResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"user": request.user.get_username(), "visits": request.session["visits"]})


def login(request: HttpRequest) -> JsonResponse:
    user = auth.authenticate(request, username=request.POST["user"], password=request.POST["password"])
    if user is None:
        return JsonResponse({"error": "The name or the password is wrong."}, status=403)
    auth.login(request, user)  # gives the session a new ID, and makes it one of the user's
    return JsonResponse({"user": user.get_username()})


def password(request: HttpRequest) -> JsonResponse:
    if not request.user.is_authenticated:
        return JsonResponse({"error": "Log in first."}, status=403)
    request.user.set_password(request.POST["password"])
    request.user.save()
    auth.update_session_auth_hash(request, request.user)
    log_out_everywhere(request.user, except_=request.session)
    return JsonResponse({})


def logout(request: HttpRequest) -> JsonResponse:
    auth.logout(request)
    return JsonResponse({})


urlpatterns = [path("", page), path("login", login), path("password", password), path("logout", logout)]
application = get_wsgi_application()
asynchronous = get_asgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
