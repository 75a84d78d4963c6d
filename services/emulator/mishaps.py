"""What goes wrong in one session: the faults that strike it, turned into effects."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from services.emulator import closes, replies
from services.emulator.agenda import Agenda, Step
from services.emulator.closes import Close
from services.emulator.context import Context, Kind
from services.emulator.effects import Cut, Effect, End, Send, SlowPongs, Stall
from services.emulator.faults import (
    CloseFault,
    Conversation,
    CutFault,
    ForgetFault,
    GoAwayFault,
    Loss,
    Moment,
    Plan,
    PongsFault,
    StallFault,
    Strike,
    SuppressFault,
)


@dataclass(frozen=True, slots=True)
class Struck:
    """What a moment has to do otherwise."""

    suppressed: bool = False
    loss: Loss | None = None


class Mishaps:
    """The faults of one session.

    Attributes:
        conversation: What is known so far of the conversation that the session carries.

    Args:
        plan: The faults of the whole emulator.
        agenda: Where what comes later is planned.
        emit: Takes the effects.
    """

    def __init__(self, plan: Plan, agenda: Agenda[Step], emit: Callable[[Effect], None]) -> None:
        self.conversation = Conversation()
        self._plan = plan
        self._agenda = agenda
        self._emit = emit

    def strike(self, moment: Moment, now: float) -> Struck:
        """This moment has come: let strike what waits for it."""
        suppressed, loss = False, None
        for delay, strike in self._plan.take(moment, self.conversation):
            match strike.fault:
                case SuppressFault():
                    suppressed = True
                    strike.befell()
                case ForgetFault(what=what):
                    loss = what
                    strike.befell()
                case _ if delay:
                    self._agenda.at(now + delay, partial(self._befall, strike))
                case _:
                    self._befall(strike, now)
        return Struck(suppressed, loss)

    def _befall(self, strike: Strike, now: float) -> None:
        strike.befell()
        match fault := strike.fault:
            case CloseFault():
                self._emit(End(Close(fault.code, fault.reason)))
            case CutFault():
                self._emit(Cut())
            case StallFault():
                self._emit(Stall(fault.seconds))
            case PongsFault():
                self._emit(SlowPongs(fault.seconds))
            case GoAwayFault():
                self._emit(Send(replies.go_away(fault.time_left)))
                self._agenda.at(now + fault.ends_in, lambda _: self._emit(End(closes.LIFETIME)))


def remaining(context: Context, loss: Loss | None) -> Context:
    """What a false resume leaves of a context; that compression had dropped some of it before stays known."""
    if loss is None:
        return context
    left = tuple(turn for turn in context.turns if loss is Loss.AUDIO and turn.kind is not Kind.AUDIO)
    return Context(turns=left, gone=context.gone)
