"""Pages "where you are logged in" for Django: for users, and in the admin for those who look after them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from .django import log_out_everywhere, revoke, sessions_of

__all__ = ["DevicesMixin", "SessionsAdminMixin"]


class DevicesMixin:
    """For a ``TemplateView`` behind ``LoginRequiredMixin``: the template gets ``devices``, the sessions of the user, each with
    ``name``, ``label``, ``context``, ``last_used`` and ``is_current``. A ``POST`` with ``name`` ends one of them, and one without all
    but that of the request; then the page is shown again."""

    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        devices = sessions_of(self.request.user, self.request.session)
        return super().get_context_data(devices=devices, **kwargs)  # type: ignore[misc, no-any-return]

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        name = request.POST.get("name")
        if name is None:
            log_out_everywhere(request.user, except_=request.session)
        else:
            revoke(request.user, name)
        return HttpResponseRedirect(request.get_full_path())


class SessionsAdminMixin:
    """For the ``ModelAdmin`` of the users, before ``UserAdmin``: a page with the sessions of a user, ``<user>/sessions/``, for those who
    may change the user. It needs ``dynamodb_web_session`` in ``INSTALLED_APPS``."""

    admin_site: Any
    model: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_sessions"
        view = self.admin_site.admin_view(self.sessions_view)
        return [path("<path:object_id>/sessions/", view, name=name), *super().get_urls()]  # type: ignore[misc]

    def sessions_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if user is None or not self.has_change_permission(request, user):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method == "POST":
            name = request.POST.get("name")
            if name is None:
                log_out_everywhere(user)
            else:
                revoke(user, name)
            messages.success(request, "The user is logged out there.")
            return HttpResponseRedirect(request.get_full_path())
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[user.pk])
        context = self.admin_site.each_context(request) | {
            "title": f"Sessions of {user}",
            "opts": self.opts,
            "devices": sessions_of(user),
            "back": back,
        }
        return TemplateResponse(request, "dynamodb_web_session/sessions.html", context)
