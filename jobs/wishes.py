"""What a user wants done to their pictures: a preset, or words of their own."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from django.conf import settings

from jobs.models import Preset
from qwenedit.errors import DomainError

SHORTEST_PROMPT = 5
LONGEST_PROMPT = 500
MOST_PHOTOS = 3
SEED_BITS = 53  # JavaScript clients read larger numbers wrong
LINE_BREAKS = "\n\r\t"


class InvalidRequest(DomainError):
    """Something in the request is wrong; `errors` says what, by field."""

    code = "invalid_request"

    def __init__(self, **errors: str) -> None:
        super().__init__(" ".join(errors.values()), errors={field: [text] for field, text in errors.items()})


@dataclass(frozen=True)
class Wish:
    """A checked wish. `prompt` is what the model will read; `seed` is None unless the user chose one."""

    prompt: str
    preset: Preset | None = None
    seed: int | None = None

    @classmethod
    def parse(cls, *, preset: str | None = None, prompt: str | None = None, seed: int | None = None) -> Wish:
        """Read a preset's slug or a prompt of 5-500 characters, and a seed of 0 to 2^53-1.

        Raises InvalidRequest naming the field.
        """
        if bool(preset) == bool(prompt):
            raise InvalidRequest(prompt="Give either a preset or a prompt.")
        if seed is not None and not 0 <= seed < 2**SEED_BITS:
            raise InvalidRequest(seed=f"A seed is a number from 0 to {2**SEED_BITS - 1}.")
        if preset:
            if "\0" in preset:
                raise InvalidRequest(preset="There is no such preset.")
            found = Preset.objects.filter(slug=preset).first()
            if found is None:
                raise InvalidRequest(preset=f"There is no preset “{preset[:40]}”.")
            return cls(prompt=found.prompt, preset=found, seed=seed)
        return cls(prompt=clean_prompt(prompt or ""), seed=seed)

    @property
    def price(self) -> int:
        """Price in points."""
        return settings.EDIT_COST if self.preset is None else self.preset.cost

    @property
    def title(self) -> str:
        """What the ledger calls the edit."""
        return "Own prompt" if self.preset is None else self.preset.title_en

    def check(self, *, photos: int) -> None:
        """Raise InvalidRequest unless the wish can be had now, for `photos` pictures.

        Apart from `parse`, so that a repeated request is recognised even if its preset was withdrawn.
        """
        if self.preset is not None and not self.preset.is_active:
            raise InvalidRequest(preset=f"The preset “{self.preset.slug}” is no longer on offer.")
        if self.preset is not None and photos != self.preset.photos:
            raise InvalidRequest(
                image=f"The preset “{self.preset.slug}” needs {self.preset.photos} picture(s), "
                f"{photos} given."
            )
        if not 1 <= photos <= MOST_PHOTOS:
            raise InvalidRequest(image=f"Send 1 to {MOST_PHOTOS} pictures, {photos} given.")


def clean_prompt(text: str) -> str:
    """Return the prompt without surrounding space, in Unicode's composed form.

    Raises InvalidRequest where it is too short or long, has control characters, or has no word in it.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if any(unicodedata.category(letter) in {"Cc", "Cs"} and letter not in LINE_BREAKS for letter in text):
        raise InvalidRequest(prompt="The prompt has control characters in it.")
    if not SHORTEST_PROMPT <= len(text) <= LONGEST_PROMPT:
        raise InvalidRequest(
            prompt=f"A prompt has {SHORTEST_PROMPT} to {LONGEST_PROMPT} characters, this one {len(text)}."
        )
    if not any(letter.isalpha() for letter in text):
        raise InvalidRequest(prompt="Say in words what to change.")
    return text
