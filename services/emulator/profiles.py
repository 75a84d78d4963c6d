"""What each model accepts, refuses and how it speaks: data, not code.

Every fact has a mark: documented by Google, observed by a third party, or assumed where nobody knows, and then it is
the commonest guess. A model is looked up by its name without what tells versions apart, so dated previews, numbers and
``-latest`` need no row of their own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from services.emulator import closes
from services.emulator.closes import Close


class Mark(StrEnum):
    """How a fact is known."""

    DOCUMENTED = "documented"
    OBSERVED = "observed"
    ASSUMED = "assumed"


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
TWO_HOURS: Final = 7_200.0
"""How long a handle lives after its session on the Developer API, in seconds [DOC]."""
ONE_DAY: Final = 86_400.0
"""The same on Vertex [DOC]."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How one model behaves on one backend.

    Attributes:
        name: Its name, without ``models/`` and without what tells versions apart.
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
        handle_lifetime: How long its handles live after their session has ended, in seconds.
        marks: How each of these is known.
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
    handle_lifetime: float = TWO_HOURS
    marks: Mapping[str, Mark] = field(default_factory=dict)

    def known(self, mark: Mark, *facts: str) -> "Profile":
        """The same, these facts known so."""
        return replace(self, marks={**self.marks, **dict.fromkeys(facts, mark)})


_NATIVE_AUDIO: Final = Profile("", 128_000).known(
    Mark.DOCUMENTED, "window", "text_output", "content", "lifetime", "handle_lifetime", "marks_unresumable"
)
_HALF_CASCADE: Final = replace(_NATIVE_AUDIO, window=32_000, text_output=True)
_UNKNOWN: Final = ("realtime_text_answers", "context_update", "long_lifetime")


def _developer(profile: Profile, name: str, *, observed: str = "", assumed: str = "", **behaviour: object) -> Profile:
    """A row: `profile` with a name and a behaviour of its own, and how that is known."""
    row = replace(profile, name=name, **behaviour)  # type: ignore[arg-type] # fields of Profile
    row = row.known(Mark.ASSUMED, *_UNKNOWN).known(Mark.OBSERVED, "system_role", *observed.split())
    return row.known(Mark.ASSUMED, *assumed.split())


DEVELOPER: Final[tuple[Profile, ...]] = (
    _developer(
        _NATIVE_AUDIO,
        "gemini-live-2.5-flash-native-audio",
        context_update=Instruction.REFUSED,
        observed="context_update",
    ),
    _developer(_NATIVE_AUDIO, "gemini-2.5-flash-native-audio", context_update=Instruction.REFUSED),
    _developer(_HALF_CASCADE, "gemini-live-2.5-flash"),
    _developer(_HALF_CASCADE, "gemini-2.0-flash-live"),
    _developer(
        _NATIVE_AUDIO,
        "gemini-3.1-flash-live",
        content=Content.REFUSED,
        observed="content",
        assumed="window text_output",
    ),
    _developer(
        _NATIVE_AUDIO,
        "gemini-3.8-live",
        long_lifetime=FIFTY_EIGHT_MINUTES,
        observed="context_update long_lifetime",
        assumed="window text_output",
    ),
)


def _vertex(row: Profile) -> Profile:
    """The same model on Vertex.

    The session is always resumable and the response is called candidates [DOC, OBS]; a turn of role system replaces the
    instruction [DOC]; ``contextUpdate`` works on gemini-3.8-live [DOC, OBS], elsewhere [?]; handles live a day [DOC].
    """
    updates = row.name == "gemini-3.8-live"
    there = replace(
        row,
        system_role=Instruction.REPLACES,
        context_update=Instruction.REPLACES if updates else Instruction.IGNORED,
        marks_unresumable=False,
        response_tokens_field="candidatesTokenCount",
        handle_lifetime=ONE_DAY,
    )
    guessed = [fact for fact, mark in row.marks.items() if mark is Mark.OBSERVED]  # nobody saw it on this API
    there = there.known(Mark.ASSUMED, *guessed).known(Mark.DOCUMENTED, "system_role", "handle_lifetime")
    return there.known(Mark.DOCUMENTED, "context_update") if updates else there


VERTEX: Final[tuple[Profile, ...]] = tuple(map(_vertex, DEVELOPER))
MODELS: Final[Mapping[Backend, tuple[Profile, ...]]] = {Backend.DEVELOPER: DEVELOPER, Backend.VERTEX: VERTEX}
_RESOURCE: Final[Mapping[Backend, re.Pattern[str]]] = {
    Backend.DEVELOPER: re.compile(r"(?:models/)?([^/]+)"),
    Backend.VERTEX: re.compile(r"(?:(?:projects/[^/]+/locations/[^/]+/)?publishers/google/models/|models/)?([^/]+)"),
}
"""How each API names a model; that a bare name is good as well is assumed."""
_VERSION: Final = re.compile(r"(?:-(?:preview|latest|exp|\d+))+$")


def bare(model: str) -> str:
    """The name of a model without what stands before it: ``models/x`` and ``x`` are the same."""
    return model.rpartition("/")[2]


def find(model: str, backend: Backend = Backend.DEVELOPER) -> Profile | None:
    """The profile of a model named as in ``setup.model``; None if this API has none of that name."""
    named = _RESOURCE[backend].fullmatch(model)
    name = named[1] if named else ""
    family = _VERSION.sub("", name)
    return next((profile for profile in MODELS[backend] if profile.name == family), None)
