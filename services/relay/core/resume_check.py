"""Whether a resume was true: the tokens of the context after it, against those before, modality by modality.

A resume can look successful and have lost the talk: the setup completes, a handle comes, and the model greets again.
The total hides it, because the instruction, which is text and sent with every setup, may be most of it (agents-js
#2346: audio tokens fell from 2,758 to 351 while text stayed at 17,000). A context only grows, but for one thing:
compression, which cuts it down to a target once it has reached a trigger. So what is missing after a resume is
explained by compression or it is lost.

What has come since must not fill the hole: a long utterance has as many tokens as an early talk that is lost. So what
must be there is the last prompt *and* its answer, besides what was said since. But nobody documents how Gemini counts
silence, noise, and its own answers once they are heard. Therefore answers and speech count only in a conversation whose
ordinary turns have shown that they do: a check that cries wolf costs a context that was whole.
"""

from dataclasses import dataclass
from typing import Final

from services.relay.core.model import Usage
from services.relay.core.pieces import AUDIO, AUDIO_TOKENS_A_SECOND

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


class ResumeCheck:
    """Judges the resumes of one conversation.

    Args:
        compression: What may make its context smaller.
    """

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._before: Usage | None = None
        self._resumed = False
        self._audio_adds_up = False

    def begins(self, baseline: Usage | None) -> None:
        """A connection is begun.

        Args:
            baseline: The usage of the newest turn in the context that it resumes; None where it resumes none, or where
                that is not known.
        """
        self._before, self._resumed = baseline, baseline is not None

    def holds(self, usage: Usage, spoke: float) -> bool:
        """Whether the context is what it should be, as far as the usage of a turn shows it.

        Only the first turn after a resume is judged; from the others it learns.

        Args:
            usage: Of the turn.
            spoke: Seconds of the client's voice that the turn has brought into the context, at least.
        """
        before, resumed = self._before, self._resumed
        self._before, self._resumed = usage, False
        if before is None:
            return True
        answer, sent = before.answer_by_modality.get(AUDIO, 0), int(spoke * AUDIO_TOKENS_A_SECOND)
        if not resumed:
            growth = usage.by_modality.get(AUDIO, 0) - before.by_modality.get(AUDIO, 0)
            self._audio_adds_up |= bool(answer and sent) and growth >= KEPT * (answer + sent)
            return True
        if not self._audio_adds_up:
            answer = sent = 0
        return resume_is_true(before, usage, self._compression, answer=answer, sent=sent)


def resume_is_true(before: Usage, after: Usage, compression: Compression, *, answer: int = 0, sent: int = 0) -> bool:
    """Judge the first turn after a resume.

    Args:
        before: The usage of the newest turn that the handle covers.
        after: The usage of the first turn that was answered from the resumed context.
        compression: What may have made the context smaller.
        answer: Tokens of audio in the answer to that newest turn; 0 where they may not be there.
        sent: Tokens of audio that were said since; 0 where they may not be counted.
    """
    wanted, found = _parts(before, after)
    if AUDIO in wanted:
        wanted[AUDIO] += answer
        found[AUDIO] = found.get(AUDIO, 0) - sent
    if all(_kept(tokens, found.get(name, 0)) for name, tokens in wanted.items()):
        return True
    could_compress = 0 < compression.trigger * _NEAR <= before.prompt + before.response + sent
    old = min(compression.target, before.prompt) - sent
    return could_compress and (old <= 0 or after.prompt - sent >= KEPT * old)


def _parts(before: Usage, after: Usage) -> tuple[dict[str, int], dict[str, int]]:
    """The tokens to look for, and those that are there; where Gemini does not tell them apart, the whole prompt."""
    if before.by_modality and after.by_modality:
        return {AUDIO: 0, **before.by_modality}, dict(after.by_modality)
    return {"": before.prompt}, {"": after.prompt}


def _kept(before: int, after: int) -> bool:
    return before < _NOTICEABLE or after >= KEPT * before
