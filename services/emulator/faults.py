"""Faults on request: what shall go wrong, when, and how often. Data, from a setting, a test or the control API.

A fault waits for a *moment* in the life of a session, lets `skip` of them pass, and then strikes `times` times, each
time with the probability `chance`, `after` seconds later (and up to `spread` more). As JSON::

    {"do": "close", "when": "answer", "after": 0.2, "code": 1011, "reason": "Internal error encountered."}

It waits for every session, or for those that carry a `voice` or whose system instruction contains `instruction`;
moments are counted over all of these together, or in `each` conversation on its own. A `label` is for
whoever planned it.

Everything random comes from one seeded source for the whole emulator: a plan strikes the same way twice where the
moments come in the same order.
"""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Final

import msgspec

_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_CloseCode = Annotated[int, msgspec.Meta(ge=1000, le=4999)]
_UNSENDABLE: Final = frozenset({1004, 1005, 1006, *range(1015, 3000)})
"""Codes that no close frame may carry (RFC 6455, section 7.4), or that nobody has defined: clients fail on them."""


class Moment(StrEnum):
    """When a fault may strike."""

    SETUP = "setup"
    """A setup arrived that brings no handle; nothing was answered yet."""
    RESUME = "resume"
    """A setup arrived that brings a handle; nothing was answered yet."""
    OPEN = "open"
    """A session without a handle was told setupComplete."""
    RESUMED = "resumed"
    """A session with a handle was told setupComplete."""
    ACTIVITY = "activity"
    """The user begins to speak."""
    HEARD = "heard"
    """The user has said something, and the model begins to think."""
    ANSWER = "answer"
    """The model begins to answer."""
    TURN = "turn"
    """A turn was told complete."""
    TOOL_CALL = "tool_call"
    """A tool was called."""
    UPDATE = "update"
    """A handle is about to be told."""
    GO_AWAY = "goaway"
    """The end is about to be announced."""


class Loss(StrEnum):
    """What a false resume has lost."""

    AUDIO = "audio"
    ALL = "all"


@dataclass(slots=True)
class Conversation:
    """What faults can tell conversations apart by.

    Attributes:
        lineage: The session and all that it was resumed from.
        instruction: The system instruction of its setup.
        voices: The voice streams that it has heard.
    """

    lineage: str = ""
    instruction: str = ""
    voices: set[int] = field(default_factory=set)


class _Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    when: Moment
    after: _Seconds = 0.0
    spread: _Seconds = 0.0
    skip: Annotated[int, msgspec.Meta(ge=0)] = 0
    times: Annotated[int, msgspec.Meta(ge=1)] = 1
    chance: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    voice: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] | None = None
    instruction: str = ""
    each: bool = False
    label: str = ""

    def concerns(self, conversation: Conversation) -> bool:
        """Whether it is about this conversation."""
        known = self.voice is None or self.voice in conversation.voices
        return known and self.instruction in conversation.instruction


def _check_moment(fault: _Fault, *moments: Moment) -> None:
    """Raise ValueError for a fault that could do nothing at its moment."""
    if fault.when not in moments:
        raise ValueError(f"this fault strikes when {' or '.join(moments)}, not {fault.when}")


class CloseFault(_Fault, frozen=True, tag="close"):
    """Close with this code and reason."""

    code: _CloseCode
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse codes that cannot be sent."""
        if self.code in _UNSENDABLE:
            raise ValueError(f"no close frame may carry the code {self.code}")


class CutFault(_Fault, frozen=True, tag="cut"):
    """Cut the TCP connection without a close frame."""


class StallFault(_Fault, frozen=True, tag="stall"):
    """Send nothing for so many seconds, or nothing ever again; what comes in is still read."""

    seconds: _Seconds | None = None


class PongsFault(_Fault, frozen=True, tag="pongs"):
    """Let every ping of the connection wait so many seconds for its pong from now on; 8 to 30 s were seen [OBS]."""

    seconds: _Seconds


class ForgetFault(_Fault, frozen=True, tag="forget"):
    """A false resume: the handle is accepted, and the audio or all of its context is lost. At ``resume``, at once."""

    what: Loss = Loss.AUDIO

    def __post_init__(self) -> None:
        """Refuse moments at which there is nothing to forget."""
        _check_moment(self, Moment.RESUME)


class SuppressFault(_Fault, frozen=True, tag="suppress"):
    """Do not send the goAway or the handle that this moment is about."""

    def __post_init__(self) -> None:
        """Refuse moments that are about neither."""
        _check_moment(self, Moment.UPDATE, Moment.GO_AWAY)


class GoAwayFault(_Fault, frozen=True, tag="goaway"):
    """Announce the end at once, telling `time_left` or nothing about it, and end `ends_in` seconds later with 1008."""

    time_left: _Seconds | None = None
    ends_in: _Seconds = 0.0


Fault = CloseFault | CutFault | StallFault | PongsFault | ForgetFault | SuppressFault | GoAwayFault


def read(text: str | bytes) -> list[Fault]:
    """Read a list of faults, or a single one, from JSON.

    Raises:
        ValueError: It is not what it should be; says what is wrong and where.
    """
    decoded: list[Fault] | Fault = msgspec.json.decode(text, type=list[Fault] | Fault)
    return decoded if isinstance(decoded, list) else [decoded]


class Plan:
    """The faults of one emulator, and how often each has struck."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        """Begin with these faults."""
        self._chance = random.Random(f"faults/{seed}")  # noqa: S311 - repeatable on purpose
        self._entries: list[_Entry] = []
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Plan more faults, after those that are there."""
        self._entries += [_Entry(fault) for fault in faults]

    def clear(self) -> None:
        """Forget all faults."""
        self._entries.clear()

    def take(self, moment: Moment, conversation: Conversation) -> list[tuple[float, "Strike"]]:
        """What strikes this conversation at this moment: the delay in seconds, and what strikes then."""
        waiting = (entry for entry in self._entries if entry.fault.when is moment)
        concerned = [entry for entry in waiting if entry.fault.concerns(conversation)]
        struck = [entry for entry in concerned if entry.strikes(conversation, self._chance)]
        return [(entry.fault.after + self._chance.uniform(0.0, entry.fault.spread), entry) for entry in struck]

    def report(self) -> list[dict[str, object]]:
        """Each fault as JSON, with ``struck``: how often it has struck; one that a delay holds back has not yet."""
        return [msgspec.to_builtins(entry.fault) | {"struck": entry.befallen} for entry in self._entries]


class Strike:
    """A fault of the plan that strikes, and is told once it has.

    Attributes:
        fault: Which.
        befallen: How often it has struck.
    """

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.befallen = 0

    def befell(self) -> None:
        """It has struck once more, its delay over and the connection still there."""
        self.befallen += 1


class _Entry(Strike):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.passed: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def strikes(self, conversation: Conversation, chance: random.Random) -> bool:
        """Whether the fault strikes at this moment of its kind."""
        counted = conversation.lineage if self.fault.each else ""
        if self.passed[counted] < self.fault.skip:
            self.passed[counted] += 1
            return False
        if self.struck[counted] >= self.fault.times or chance.random() >= self.fault.chance:
            return False
        self.struck[counted] += 1
        return True
