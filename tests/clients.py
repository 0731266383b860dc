"""Clients of the REST API."""

from rest_framework.test import APIClient


def api_client(key: str) -> APIClient:
    """Return a client that signs in with an API key; an empty one stays anonymous."""
    client = APIClient()
    if key:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client
