"""What was said, by turns: the relay's messages put together, so that a cut leaves neither holes nor repetitions.

Theory of operation
===================
Pieces of transcript are appended to their turn. What is said again is first withdrawn: by `turn:restarted`, and where
another relay has taken over (a new epoch), for every turn after the one that the greeting names. A turn that was
completed while the client was away comes whole, as `turn:missed`, and takes the place of whatever was there. What was
typed is known here, since the relay does not repeat it; it is the client's own, so nothing withdraws it.
"""

from dataclasses import dataclass, field
from functools import singledispatchmethod

from filo.client import messages
from filo.client.events import Event


@dataclass(slots=True)
class Turn:
    """One turn so far.

    Attributes:
        number: From 1.
        user: What Gemini heard the user say.
        typed: What the user typed.
        agent: What the agent said.
        complete: The turn is over.
        interrupted: The user spoke into the answer.
        missed: It was completed while the client was away, and `user` holds what was typed, too.
        restarts: How often it began again.
    """

    number: int
    user: str = ""
    typed: list[str] = field(default_factory=list)
    agent: str = ""
    complete: bool = False
    interrupted: bool = False
    missed: bool = False
    restarts: int = 0

    @property
    def said(self) -> str:
        """All that the user said in this turn, typed or spoken."""
        parts = [self.user] if self.missed else [*self.typed, self.user]
        return "\n".join(part.strip() for part in parts if part.strip())


class Dialogue:
    """The turns of a conversation that this client knows of."""

    def __init__(self) -> None:
        self._turns: dict[int, Turn] = {}
        self._epoch = 0
        self._last = 0

    @property
    def turns(self) -> list[Turn]:
        """All turns, in order."""
        return [turn for _, turn in sorted(self._turns.items())]

    def typed(self, text: str) -> Turn:
        """The user has typed something: it belongs to the turn in progress, or, into an answer, to the next one."""
        turn = self._turn(self._last + 1)
        if turn.agent:
            turn = self._turn(self._last + 2)
        turn.typed.append(text)
        return turn

    @singledispatchmethod
    def take(self, event: Event) -> None:
        """Take in one event of the client; those without a method of their own change nothing."""

    @take.register
    def _greeted(self, event: messages.SessionStarted | messages.SessionResumed) -> None:
        if event.epoch == self._epoch:
            return
        for turn in self._turns.values():
            if turn.number > event.turn:
                _withdraw(turn)
        self._epoch, self._last = event.epoch, event.turn

    @take.register
    def _transcript(self, event: messages.Transcript) -> None:
        turn = self._turn(event.turn)
        if event.role == "user":
            turn.user += event.text
        else:
            turn.agent += event.text

    @take.register
    def _restarted(self, event: messages.TurnRestarted) -> None:
        _withdraw(self._turn(event.turn))

    @take.register
    def _interrupted(self, event: messages.Interrupted) -> None:
        self._turn(event.turn).interrupted = True

    @take.register
    def _complete(self, event: messages.TurnComplete) -> None:
        turn = self._turn(event.turn)
        turn.complete, turn.interrupted = True, event.interrupted
        self._last = max(self._last, event.turn)

    @take.register
    def _missed(self, event: messages.TurnMissed) -> None:
        turn = self._turn(event.turn)
        turn.user, turn.agent, turn.interrupted = event.user, event.agent, event.interrupted
        turn.complete = turn.missed = True
        self._last = max(self._last, event.turn)

    def _turn(self, number: int) -> Turn:
        return self._turns.setdefault(number, Turn(number))


def _withdraw(turn: Turn) -> None:
    """Forget what the relay had told of a turn; it begins again."""
    if turn.user or turn.agent:
        turn.restarts += 1
    turn.user = turn.agent = ""
    turn.complete = turn.interrupted = False
