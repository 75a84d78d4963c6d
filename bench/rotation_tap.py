"""What reaches the emulator, and when: it runs in the bench's process, so one clock times both ends of the relay."""

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from services.emulator.session import Session

_WHO: Final = re.compile(r"conversation (\d+) of the bench")
_DATA: Final = '"data":"'


def instruction(number: int) -> str:
    """A system instruction by which the emulator's side of a conversation is recognised."""
    return f"Your name is Ada. This is conversation {number} of the bench."


@dataclass
class Connection:
    """One upstream connection; times are monotonic seconds.

    Attributes:
        accepted: The upgrade was answered.
        set_up: The setup arrived.
        closed: Both halves of the close are done.
        newest: When the newest audio arrived.
    """

    accepted: float
    set_up: float | None = None
    closed: float | None = None
    newest: float = 0.0


@dataclass
class Tap:
    """What was seen since `watching` began.

    Attributes:
        connections: By the conversation's number, in order of their setups.
        arrived: When a frame of audio, by `mark`, arrived first; on whichever connection.
    """

    connections: dict[int, list[Connection]] = field(default_factory=dict)
    arrived: dict[int, float] = field(default_factory=dict)
    _by_session: dict[int, Connection] = field(default_factory=dict)

    def opened(self, session: Session) -> None:
        """A connection was accepted."""
        self._by_session[id(session)] = Connection(time.monotonic())

    def received(self, session: Session, frame: str | bytes) -> None:
        """A message arrived."""
        connection = self._by_session[id(session)]
        text = frame if isinstance(frame, str) else frame.decode()
        head, audio, rest = text.partition(_DATA)
        if audio and connection.set_up is not None and len(head) < 200:  # noqa: PLR2004 - the head of a realtime message
            connection.newest = time.monotonic()
            self.arrived.setdefault(hash(rest.partition('"')[0]), connection.newest)
        elif connection.set_up is None and (who := _WHO.search(text)):
            connection.set_up = time.monotonic()
            self.connections.setdefault(int(who[1]), []).append(connection)

    def ended(self, session: Session) -> None:
        """A connection is closed on both sides."""
        if connection := self._by_session.pop(id(session), None):
            connection.closed = time.monotonic()

    def lost(self, sent: Iterable[int]) -> int:
        """How many of these frames never arrived on any connection."""
        return sum(mark not in self.arrived for mark in sent)


@contextmanager
def watching() -> Iterator[Tap]:
    """Watch every session of the emulators in this process."""
    tap = Tap()
    begin, receive, disconnected = Session.__init__, Session.receive, Session.disconnected

    def init(session: Session, *arguments: Any) -> None:  # noqa: ANN401 - passed on
        begin(session, *arguments)
        tap.opened(session)

    def take(session: Session, frame: str | bytes, now: float) -> None:
        tap.received(session, frame)
        receive(session, frame, now)

    def end(session: Session, now: float) -> None:
        disconnected(session, now)
        tap.ended(session)

    with ExitStack() as patches:
        for name, replacement in (("__init__", init), ("receive", take), ("disconnected", end)):
            patches.enter_context(patch.object(Session, name, replacement))
        yield tap
