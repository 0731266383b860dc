"""Addresses under `/api/v1/`."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from qwenedit.api.views import JobViewSet, LedgerView, MeView, PresetsView
from qwenedit.api.views_payments import PaymentViewSet
from qwenedit.api.views_promocodes import RedeemView
from qwenedit.api.views_webhooks import DeliveryViewSet, EndpointViewSet, WebhookDeliveryViewSet

router = SimpleRouter(use_regex_path=False)
router.register("jobs", JobViewSet, basename="job")
router.register("payments", PaymentViewSet, basename="payment")
router.register("webhooks/deliveries", DeliveryViewSet, basename="delivery")
router.register("webhooks/<int:webhook_id>/deliveries", WebhookDeliveryViewSet, basename="webhook-delivery")
router.register("webhooks", EndpointViewSet, basename="webhook")

app_name = "api"
urlpatterns = [
    path("me/", MeView.as_view(), name="me"),
    path("me/ledger/", LedgerView.as_view(), name="ledger"),
    path("presets/", PresetsView.as_view(), name="presets"),
    path("promocodes/redeem/", RedeemView.as_view(), name="redeem"),
    path("", include(router.urls)),
]
