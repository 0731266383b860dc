"""The one root of expected errors.

    DomainError                     an expected refusal, with a stable code
      jobs.services.*               TooManyJobs, PromptRejected, ...
      payments.ledger.*             InsufficientPoints, KeyConflict
      qwenedit.lib.images.*         InvalidImage, ImageTooLarge
      jobs.comfy.errors.*           ComfyError and what derives from it

An exception lives beside what raises it. The API turns every DomainError into one
problem+json body (`qwenedit.api.errors`), the bot into one sentence.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """An expected refusal: `code` is stable for machines, `message` is for people, in English.

    `extra` travels to the API's body beside the code (JSON types only). `retryable` answers
    "is it worth trying the same again?". `status` is the HTTP status that fits the code.
    """

    code: ClassVar[str] = "invalid_request"
    status: ClassVar[int] = 400
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.extra = extra
