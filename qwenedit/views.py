"""What belongs to the site and to none of its apps: the home page and the last answers to what went wrong."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect, JsonResponse
from django.shortcuts import render
from django.urls import resolve
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from qwenedit import bot_api
from qwenedit.problems import CONTENT_TYPE, problem

API = "/api/"


class Redirect(HttpResponsePermanentRedirect):
    """A redirect that keeps the method and the body, which 301 lets clients drop."""

    status_code = 308


@require_safe
def home(request: HttpRequest) -> HttpResponseBase:
    """Say what this is, and where everything else is."""
    context = {"site": f"{request.scheme}://{request.get_host()}"}
    # Only the stand-in has a page of its own; where a real bot is found, its owner knows.
    if not settings.BOT_TOKEN and settings.DEBUG:
        context["chat"] = bot_api.api_url()
    return render(request, "home.html", context)


@csrf_exempt
def unknown_api_address(request: HttpRequest) -> HttpResponseBase:
    """Answer whatever no address of the API matched, also while DEBUG would show its own page."""
    if not request.path.endswith("/") and resolve(f"{request.path_info}/").func is not unknown_api_address:
        return Redirect(request.get_full_path(force_append_slash=True))
    return _problem(404, "not_found", "There is nothing at this address.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request that could not even be routed, such as one for another host."""
    if request.path.startswith(API):
        return _problem(400, "invalid_request", "The request is not valid.", errors={})
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer an unknown address."""
    if request.path.startswith(API):
        return _problem(404, "not_found", "There is nothing at this address.")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer a mistake of ours, without its details."""
    if request.path.startswith(API):
        return _problem(500, "internal_error", "The error was reported. Nothing is charged twice.")
    return defaults.server_error(request)


def _problem(status: int, code: str, detail: str, **extra: Any) -> JsonResponse:
    return JsonResponse(problem(status, code, detail, **extra), status=status, content_type=CONTENT_TYPE)
