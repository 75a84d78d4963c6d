"""The phases of a conversation at one relay, and the only ways between them.

At most one upstream connection exists, and each phase says how it stands:

* PARKED   there is none; one is opened when a client comes.
* OPENING  it is being dialled, or a wait before the dial runs.
* LIVE     its setup is complete: input goes up, answers come down.
* CLOSING  it is being closed so that another can take its place; its last frames are still read.
* OVER     this relay is done with the conversation: ended, given back, or fenced.

A signal with no row for a phase is a defect of the core, and raises: nothing is decided by falling through.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Phase(StrEnum):
    """How the upstream connection stands."""

    PARKED = "parked"
    OPENING = "opening"
    LIVE = "live"
    CLOSING = "closing"
    OVER = "over"


class Signal(StrEnum):
    """What moves a conversation from phase to phase."""

    DIAL = "dial"
    READY = "ready"
    ROTATE = "rotate"
    PARK = "park"
    FINISH = "finish"


TRANSITIONS: Final[Mapping[tuple[Phase, Signal], Phase]] = MappingProxyType(
    {
        (Phase.PARKED, Signal.DIAL): Phase.OPENING,  # a client came
        (Phase.PARKED, Signal.FINISH): Phase.OVER,
        (Phase.OPENING, Signal.DIAL): Phase.OPENING,  # the dial failed: the next one
        (Phase.OPENING, Signal.READY): Phase.LIVE,
        (Phase.OPENING, Signal.PARK): Phase.PARKED,  # the dial failed and nobody waits for it
        (Phase.OPENING, Signal.FINISH): Phase.OVER,
        (Phase.LIVE, Signal.ROTATE): Phase.CLOSING,
        (Phase.LIVE, Signal.DIAL): Phase.OPENING,  # it was lost
        (Phase.LIVE, Signal.PARK): Phase.PARKED,  # it was lost, and the client is the one to come back
        (Phase.LIVE, Signal.FINISH): Phase.OVER,
        (Phase.CLOSING, Signal.DIAL): Phase.OPENING,  # it is closed: the next one
        (Phase.CLOSING, Signal.PARK): Phase.PARKED,  # it is closed, and the client is the one to come back
        (Phase.CLOSING, Signal.FINISH): Phase.OVER,
    }
)


def step(phase: Phase, signal: Signal) -> Phase:
    """The phase after a signal.

    Raises:
        KeyError: The table has no such row.
    """
    return TRANSITIONS[phase, signal]
