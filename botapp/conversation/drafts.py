"""What somebody has chosen so far of an edit: photos, and a preset or words. Kept in the chat's row.

    photos + words    confirmed, then ordered
    photos alone      a menu of what can be done with them
    a wish alone      its photos are asked for

`ident` names one confirm screen: an order is made of it once, and an older screen is known for what it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

from botapp.conversation import words
from botapp.conversation.incoming_photos import Photo
from botapp.models import Chat
from botapp.turn import Turn
from jobs.models import Preset
from jobs.wishes import MOST_PHOTOS, Wish
from qwenedit.errors import DomainError

WORDS_STEP = "prompt"  # words are waited for


@dataclass(frozen=True)
class Draft:
    """An edit that is being put together. `left_out` counts the photos beyond the most that are taken."""

    photos: tuple[Photo, ...] = ()
    preset_id: int | None = None
    prompt: str = ""
    left_out: int = 0
    ident: str = ""

    @classmethod
    def of(cls, chat: Chat) -> Self:
        """Read the draft of a chat. Whatever else the chat remembers is not ours."""
        kept = {name: chat.draft[name] for name in cls.__dataclass_fields__ if name in chat.draft}
        return cls(**kept | {"photos": tuple(kept.get("photos", ()))})

    def keep(self, turn: Turn, *, step: str = "") -> Self:
        """Remember this draft, and whether words are waited for; return it."""
        turn.expect(step, **asdict(self) | {"photos": list(self.photos)})
        return self

    def named(self) -> Self:
        """Return the draft under a fresh name, for a screen that confirms it."""
        return replace(self, ident=secrets.token_hex(6))

    @property
    def is_complete(self) -> bool:
        """Whether there are photos and a wish: what lacks is a yes, or the points."""
        return bool(self.photos and (self.prompt or self.preset_id is not None))

    def preset(self) -> Preset | None:
        """Return the chosen preset, if it is still on offer."""
        if self.preset_id is None:
            return None
        return Preset.objects.on_offer().filter(pk=self.preset_id).first()

    def with_preset(self, preset: Preset) -> Self:
        """Return the draft with a preset instead of whatever was wished for."""
        return replace(self, preset_id=preset.pk, prompt="")

    def with_words(self, wish: str) -> Self:
        """Return the draft with words instead of whatever was wished for."""
        return replace(self, preset_id=None, prompt=wish)

    def with_caption(self, caption: str) -> Self:
        """Return the draft with words that came beside a preset's photo, if they could be a wish as well."""
        try:
            return replace(self, prompt=words.read(caption))
        except DomainError:
            return replace(self, prompt="")

    def with_photos(self, photos: Sequence[Photo], *, most: int = MOST_PHOTOS, left_out: int = 0) -> Self:
        """Return the draft with these photos instead of those it had; beyond `most` they are only counted."""
        return replace(self, photos=tuple(photos[:most]), left_out=left_out + max(0, len(photos) - most))

    def taken(self, preset: Preset | None) -> tuple[list[Photo], int]:
        """Return the photos that the wish takes, and how many it leaves out."""
        most = preset.photos if preset else MOST_PHOTOS
        return list(self.photos[:most]), self.left_out + max(0, len(self.photos) - most)


def order_key(chat: Chat, ident: str) -> str:
    """Return the cause of the order that the confirm screen `ident` leads to."""
    return f"draft:{chat.pk}:{ident}"


def wish_of(preset: Preset | None, prompt: str) -> Wish:
    """Return a checked preset or words as a wish."""
    return Wish(prompt=preset.prompt if preset else prompt, preset=preset)
