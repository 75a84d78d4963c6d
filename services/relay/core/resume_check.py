"""Whether a resume was true: the tokens of the context after it, against those before, modality by modality.

A resume can look successful and have lost the talk: the setup completes, a handle comes, and the model greets again.
The total hides it, because the instruction, which is text and sent with every setup, may be most of it (agents-js
#2346: audio tokens fell from 2,758 to 351 while text stayed at 17,000). A context only grows, but for one thing:
compression, which cuts it down to a target once it has reached a trigger. So what is missing after a resume is
explained by compression or it is lost.
"""

from dataclasses import dataclass
from typing import Final

from services.relay.core.model import Usage

KEPT: Final = 0.8
"""The share of a modality's tokens that must still be there; the rest allows for what Gemini counts differently."""
_NOTICEABLE: Final = 50
"""Tokens below which a modality is too small to judge: two seconds of audio."""
_NEAR: Final = 0.9
"""A context this near to the trigger may have reached it with what the client said since."""


@dataclass(frozen=True, slots=True)
class Compression:
    """What Gemini's sliding window does.

    Args:
        trigger: It begins when the context has this many tokens; 0 when there is no compression.
        target: It leaves at least this many.
    """

    trigger: int = 0
    target: int = 0

    @classmethod
    def of_window(cls, tokens: int) -> "Compression":
        """The documented defaults for a context window: trigger at 80 %, target half of that."""
        trigger = tokens * 8 // 10
        return cls(trigger, trigger // 2)


def resume_is_true(before: Usage, after: Usage, compression: Compression) -> bool:
    """Judge the first turn after a resume.

    Args:
        before: The usage of the newest turn that the handle covers.
        after: The usage of the first turn that was answered from the resumed context.
        compression: What may have made the context smaller.
    """
    if all(_kept(tokens, after.by_modality.get(name, 0)) for name, tokens in _parts(before, after).items()):
        return True
    could_compress = 0 < compression.trigger * _NEAR <= before.prompt + before.response
    return could_compress and after.prompt >= KEPT * min(compression.target, before.prompt)


def _parts(before: Usage, after: Usage) -> dict[str, int]:
    """The tokens to look for; where Gemini does not tell them apart, the whole prompt."""
    if before.by_modality and after.by_modality:
        return dict(before.by_modality)
    return {} if _kept(before.prompt, after.prompt) else {"": before.prompt}


def _kept(before: int, after: int) -> bool:
    return before < _NOTICEABLE or after >= KEPT * before
