"""What each model accepts, refuses and how it speaks: data, not code.

Marks as in GEMINI-LIVE.md: [DOC] documented, [OBS] a third party's report, [?] unknown, and then the commonest guess.
A model is looked up by the longest name in the table that its own name begins with, so dated previews and ``-latest``
need no row of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from services.emulator import closes
from services.emulator.closes import Close


class Backend(StrEnum):
    """Whose API it is."""

    DEVELOPER = "Developer"
    VERTEX = "Vertex"


class Content(StrEnum):
    """What happens to ``clientContent`` in the middle of a session."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class Instruction(StrEnum):
    """What happens to an attempt to change the system instruction in the middle of a session."""

    REPLACES = "replaces"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a connection lives, and how it ends.

    Attributes:
        seconds: From its opening to its end.
        goaway_lead: Seconds before the end at which goAway is sent; 0 sends none.
        close: The end.
        resumable: Whether the session's handles are good after the end.
    """

    seconds: float
    goaway_lead: float
    close: Close
    resumable: bool = True


TEN_MINUTES: Final = Lifetime(600.0, 60.0, closes.LIFETIME)
""""Around 10 minutes", and goAway 60 s before [DOC]; 583 to 592 s and 50 or 30 s were seen [OBS]."""
FIFTY_EIGHT_MINUTES: Final = Lifetime(3480.0, 0.0, closes.DEADLINE, resumable=False)
"""Open to exactly 58:00, and a later resume was refused with 1007 [OBS]; no goAway [?]."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How one model behaves on one backend.

    Attributes:
        name: What its names begin with, without ``models/``.
        window: Size of the context window in tokens.
        text_output: Whether it can answer in text; a native audio model cannot.
        content: What it does with ``clientContent`` after the conversation has begun.
        system_role: What it does with a ``clientContent`` turn of role ``system``.
        context_update: What it does with ``contextUpdate.systemInstruction``.
        realtime_text_answers: Whether ``realtimeInput.text`` makes it answer at once.
        marks_unresumable: Whether it says that no handle is valid while it generates.
        response_tokens_field: Name of the response's count in ``usageMetadata``.
        lifetime: How long its connections live.
        long_lifetime: How long they live in the variant that was once seen; None where none was.
    """

    name: str
    window: int
    text_output: bool = False
    content: Content = Content.ACCEPTED
    system_role: Instruction = Instruction.REFUSED
    context_update: Instruction = Instruction.IGNORED
    realtime_text_answers: bool = True
    marks_unresumable: bool = True
    response_tokens_field: str = "responseTokenCount"
    lifetime: Lifetime = TEN_MINUTES
    long_lifetime: Lifetime | None = None


_NATIVE_AUDIO_WINDOW: Final = 128_000  # [DOC]
_OTHER_WINDOW: Final = 32_000  # [DOC]

DEVELOPER: Final[tuple[Profile, ...]] = (
    # Native audio: role system closes with 1007 [OBS], contextUpdate closes with 1007 on this one [OBS], text counts
    # as activity and is answered at once [DOC: AutomaticActivityDetection.disabled].
    Profile("gemini-live-2.5-flash-native-audio", _NATIVE_AUDIO_WINDOW, context_update=Instruction.REFUSED),
    Profile("gemini-2.5-flash-native-audio", _NATIVE_AUDIO_WINDOW, context_update=Instruction.REFUSED),
    # Half cascade: 32k window [DOC], text output [DOC], the rest [?].
    Profile("gemini-live-2.5-flash", _OTHER_WINDOW, text_output=True),
    Profile("gemini-2.0-flash-live", _OTHER_WINDOW, text_output=True),
    # Refuses any clientContent in mid-session with 1007 [OBS]; window [?].
    Profile("gemini-3.1-flash-live", _NATIVE_AUDIO_WINDOW, content=Content.REFUSED),
    # AI Studio ignores contextUpdate [OBS]; 58 minutes were seen once [OBS].
    Profile("gemini-3.8-live", _NATIVE_AUDIO_WINDOW, long_lifetime=FIFTY_EIGHT_MINUTES),
)


# On Vertex the session is always resumable, the response is called candidates [DOC, OBS], and a turn of role system
# replaces the instruction [DOC]; contextUpdate works on gemini-3.8-live [DOC, OBS], elsewhere [?].
VERTEX: Final[tuple[Profile, ...]] = tuple(
    replace(
        profile,
        system_role=Instruction.REPLACES,
        context_update=Instruction.REPLACES if profile.name == "gemini-3.8-live" else Instruction.IGNORED,
        marks_unresumable=False,
        response_tokens_field="candidatesTokenCount",
    )
    for profile in DEVELOPER
)

MODELS: Final[Mapping[Backend, tuple[Profile, ...]]] = {Backend.DEVELOPER: DEVELOPER, Backend.VERTEX: VERTEX}


def find(model: str, backend: Backend = Backend.DEVELOPER) -> Profile | None:
    """The profile of a model named as in ``setup.model``, whatever path is before its name; None if there is none."""
    name = model.rpartition("/")[2]
    matching = [profile for profile in MODELS[backend] if name.startswith(profile.name)]
    return max(matching, key=lambda profile: len(profile.name), default=None)
