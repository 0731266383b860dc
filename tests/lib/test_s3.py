"""The S3 storage as the settings configure it. What S3 itself does is S3's own to test."""

import subprocess
import sys

from qwenedit import settings

SHOW = """
import django; django.setup()
from django.core.files.storage import storages
s = storages["default"]
print(type(s).__name__, s.bucket_name, s.file_overwrite, s.querystring_auth, s.default_acl)
print(s.client_config.request_checksum_calculation, s.client_config.signature_version)
print(s.connection.meta.client.meta.endpoint_url)
"""


def test_a_bucket_in_the_environment_makes_a_private_storage() -> None:
    environment = {
        "VAR_DIR": str(settings.VAR_DIR),
        "DJANGO_SETTINGS_MODULE": "qwenedit.settings",
        "AWS_STORAGE_BUCKET_NAME": "pictures",
        "AWS_S3_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_S3_REGION_NAME": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }

    shown = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True
    )

    assert shown.stdout.splitlines() == [
        "PrivateS3Storage pictures False True None",
        "when_required s3v4",
        "http://127.0.0.1:9000",
    ], shown.stderr
