"""Addresses under `/api/v1/`."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from qwenedit.api.views import JobViewSet, LedgerView, MeView, PresetsView

router = SimpleRouter(use_regex_path=False)
router.register("jobs", JobViewSet, basename="job")

app_name = "api"
urlpatterns = [
    path("me/", MeView.as_view(), name="me"),
    path("me/ledger/", LedgerView.as_view(), name="ledger"),
    path("presets/", PresetsView.as_view(), name="presets"),
    path("", include(router.urls)),
]
