"""What a client does with each close code of the relay: one table for every client.

The two plans that started Filo contradict each other about 1000, so the relay closes with 1000 only when the
conversation is over. The table in ``docs/client-protocol.md`` is generated from this one.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Action(StrEnum):
    """What the client does next."""

    STOP = "stop"
    RECONNECT = "reconnect"
    WAIT = "wait"


class CloseCode(NamedTuple):
    """One row: what happened, and what to do."""

    action: Action
    meaning: str


CLOSE_CODES: Final[Mapping[int, CloseCode]] = MappingProxyType(
    {
        1000: CloseCode(Action.STOP, "The conversation is over."),
        1001: CloseCode(Action.RECONNECT, "This relay is going away; another one, or this one restarted, goes on."),
        1006: CloseCode(Action.RECONNECT, "The connection was cut without a close frame (never sent, only seen)."),
        1007: CloseCode(Action.STOP, "The client sent something that is not this protocol; the reason says what."),
        1008: CloseCode(Action.STOP, "The request breaks a rule; the reason says which."),
        1009: CloseCode(Action.STOP, "A message was larger than the relay takes."),
        1011: CloseCode(Action.RECONNECT, "The relay failed; the conversation is stored."),
        1012: CloseCode(Action.RECONNECT, "The upstream connection ended and the client asked to reconnect by itself."),
        1013: CloseCode(Action.WAIT, "Something the relay needs is away or full; come back after a while."),
        4401: CloseCode(Action.STOP, "The session token is missing, forged or expired; create a session."),
        4403: CloseCode(Action.STOP, "The share token or the mode is not this conversation's."),
        4404: CloseCode(Action.STOP, "There is no such conversation or path."),
        4409: CloseCode(Action.STOP, "Another socket has taken this conversation over."),
        4410: CloseCode(Action.STOP, "The conversation has ended before."),
        4502: CloseCode(Action.STOP, "Gemini refuses this conversation's configuration for good; the reason says why."),
    }
)


def action(code: int) -> Action:
    """What a client does after a close with this code; an unknown one is met like a cut."""
    row = CLOSE_CODES.get(code)
    return row.action if row else Action.RECONNECT
