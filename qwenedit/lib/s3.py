"""Pictures in an S3 bucket: private, never overwritten, and with services that are only nearly S3 too."""

from typing import Any

from botocore.config import Config
from storages.backends.s3 import S3Storage


class PrivateS3Storage(S3Storage):
    """Keeps files for nobody but us; they reach their owner through our own views alone.

    Checksums are sent only where a service requires them: since boto3 1.36 they go out by default, and
    many S3-compatible services refuse them.
    """

    def get_default_settings(self) -> dict[str, Any]:
        """Return the library's defaults with ours over them."""
        client_config = Config(
            signature_version="s3v4",
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=5,
            read_timeout=30,
            retries={"max_attempts": 3},
        )
        settings: dict[str, Any] = super().get_default_settings()
        return settings | {
            "client_config": client_config,
            "default_acl": None,  # the bucket's own policy, which is private unless somebody opened it
            "file_overwrite": False,
            "querystring_auth": True,
        }
