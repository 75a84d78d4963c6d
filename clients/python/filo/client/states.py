"""The automaton of a session: the whole of it is the table.

Theory of operation
===================
A session outlives its sockets. It has at most one at a time, and is always in exactly one `Phase`. What moves it is a
`Signal`; a pair that is not in the table is a mistake of the driver and raises.

A cut needs no state of its own. Input may be given in every phase: it is numbered and kept at once (`Outbox`), and sent
only in LIVE. When the relay greets again, it says where it stands, and sending goes on from there.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Phase(StrEnum):
    """Where a session stands."""

    IDLE = "idle"
    """Nothing has happened."""
    CONNECTING = "connecting"
    """A socket is being opened."""
    GREETING = "greeting"
    """It is open; the relay has not yet said `session:started` or `session:resumed`."""
    LIVE = "live"
    """The relay listens; input is sent as it comes."""
    LEAVING = "leaving"
    """This side closes the socket, reads what still comes, and means to come back on another one."""
    WAITING = "waiting"
    """There is no socket; the next attempt begins at the deadline."""
    OVER = "over"
    """The conversation has ended, or is given up."""


class Signal(StrEnum):
    """What moves a session on."""

    CONNECT = "connect"
    """The driver begins an attempt."""
    OPENED = "opened"
    """The handshake is done."""
    GREETED = "greeted"
    """The relay has said where it stands."""
    LEAVE = "leave"
    """goAway, or no greeting in time."""
    LOST = "lost"
    """There is no socket any more, and another attempt is allowed."""
    FINISHED = "finished"
    """There is no socket any more, and none will follow."""


TRANSITIONS: Final[Mapping[Phase, Mapping[Signal, Phase]]] = MappingProxyType(
    {
        Phase.IDLE: {Signal.CONNECT: Phase.CONNECTING},
        Phase.CONNECTING: {Signal.OPENED: Phase.GREETING, Signal.LOST: Phase.WAITING, Signal.FINISHED: Phase.OVER},
        Phase.GREETING: {
            Signal.GREETED: Phase.LIVE,
            Signal.LEAVE: Phase.LEAVING,
            Signal.LOST: Phase.WAITING,
            Signal.FINISHED: Phase.OVER,
        },
        Phase.LIVE: {Signal.LEAVE: Phase.LEAVING, Signal.LOST: Phase.WAITING, Signal.FINISHED: Phase.OVER},
        Phase.LEAVING: {Signal.LOST: Phase.WAITING, Signal.FINISHED: Phase.OVER},
        Phase.WAITING: {Signal.CONNECT: Phase.CONNECTING},
        Phase.OVER: {},
    }
)


class SessionError(Exception):
    """The driver did what the phase does not allow."""


def follow(phase: Phase, signal: Signal) -> Phase:
    """Take one row of the table.

    Raises:
        SessionError: The table has no such row.
    """
    following = TRANSITIONS[phase].get(signal)
    if following is None:
        raise SessionError(f"{signal} makes no sense while {phase}")
    return following
