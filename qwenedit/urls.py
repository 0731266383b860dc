"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from botapp.views import telegram_update
from payments.views import payment_return, yookassa_notification
from qwenedit import health, metrics, views

urlpatterns = [
    path("", views.home, name="home"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("qwenedit.api.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    re_path(r"^api/", views.unknown_api_address),
    path("webhooks/yookassa/", yookassa_notification, name="yookassa-notification"),
    path("webhooks/telegram/", telegram_update, name="telegram-update"),
    path("payments/<int:payment_id>/return/", payment_return, name="payment-return"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
]
handler400 = "qwenedit.views.bad_request"
handler404 = "qwenedit.views.not_found"
handler500 = "qwenedit.views.server_error"
