"""The dialogue of a conversation: what is said, and what of it is stored and covered.

It knows nothing of phases and dialling: `conversation.Conversation` hands it the events that tell what client, agent
and store did, and asks it where the talk stands.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.accounts import Accounts, answered, written
from services.relay.core.completions import Completions
from services.relay.core.coverage import Coverage
from services.relay.core.model import Role, RotationReason, Turn
from services.relay.core.pieces import Piece
from services.relay.core.turns import Stage, Talk


class Dialogue:
    """Tells the client what is said, and gathers what is to be stored.

    Args:
        talk: The turns.
        coverage: What of them is stored and covered.
        accounts: What it costs.
        completions: When the client is told of a turn's end.
    """

    def __init__(self, talk: Talk, coverage: Coverage, accounts: Accounts, completions: Completions) -> None:
        self.talk = talk
        self.completions = completions
        self.coverage = coverage
        self.accounts = accounts
        self._out: list[do.Effect] = []

    def handle(self, event: on.Event) -> list[do.Effect]:
        """What is to be done about an event of the talk or the store.

        Raises:
            KeyError: The event is none of these.
        """
        self._out = []
        self._ON[type(event)](self, event)
        return self._out

    def cut(self, reason: RotationReason) -> list[do.Effect]:
        """The turn in progress has lost its connection: it is over if its answer had come whole, or begins again."""
        self._out = []
        pieces = self._pieces
        over, again = self.talk.cut()
        if over is not None:
            self._turn_is_over(over, pieces)
        if again is not None:
            self._tell(tell.TurnRestarted(again, reason))
        return self._out

    def let_go(self) -> list[do.Effect]:
        """Nothing more will be heard here: keep a turn whose answer had come whole; the rest begins again elsewhere."""
        self._out = []
        pieces = self._pieces
        over, _ = self.talk.cut()
        if over is not None:
            self._turn_is_over(over, pieces)
        self._tell_all(self.completions.give_up())
        return self._out

    def look(self, now: float) -> list[do.Effect]:
        """Time has passed: a turn that is over is told in the end, whether the store has it or not."""
        self._out = []
        self._tell_all(self.completions.look(now))
        return self._out

    def _tell_all(self, notices: Iterable[tell.Notice]) -> None:
        self._out += [do.Tell(notice) for notice in notices]

    def _tell(self, notice: tell.Notice) -> None:
        self._out.append(do.Tell(notice))

    def _speech_began(self, event: on.SpeechBegan) -> None:
        self.talk.began_to_speak(event.after, waiting=event.waiting, paused=event.paused)

    def _client_wrote(self, event: on.ClientWrote) -> None:
        self.talk.wrote(event.text, event.after)

    def _user_heard(self, event: on.UserHeard) -> None:
        self._tell(tell.Transcript(Role.USER, event.text, self.talk.heard(event.text)))

    def _answer_began(self, event: on.AnswerBegan) -> None:
        self.talk.answer_began(event.sent, event.quiet)

    def _agent_said(self, event: on.AgentSaid) -> None:
        self.talk.said(event.text)
        self._tell(tell.Transcript(Role.AGENT, event.text, self.talk.number))

    def _generation_completed(self, _event: on.GenerationCompleted) -> None:
        self.talk.answer_is_whole()

    def _interrupted(self, _event: on.Interrupted) -> None:
        self.talk.interrupted()
        self._tell(tell.AnswerInterrupted(self.talk.number))

    def _turn_completed(self, event: on.TurnCompleted) -> None:
        pieces = self._pieces
        turn = self.talk.complete(event.sent)
        if turn is not None:
            self._turn_is_over(turn, pieces)

    @property
    def _pieces(self) -> list[Piece]:
        """What the turn in progress has brought into the context, besides voices."""
        return written(self.talk.typed, self.talk.tools.calls)

    def _turn_is_over(self, turn: Turn, pieces: list[Piece]) -> None:
        self.accounts.turn_over(turn.number, pieces)
        self.coverage.turn_completed(turn, self.talk.began)
        self.completions.over(turn)
        self._out.append(do.Forget(self.talk.boundary.position))

    def _tools_called(self, event: on.ToolsCalled) -> None:
        wanted, known = self.talk.tools.called(event.calls)
        if wanted:
            self._tell(tell.ToolsWanted(self.talk.number, wanted))
        self._out += [do.AnswerTool(call.id, call.name, call.result or {}) for call in known]

    def _tools_cancelled(self, event: on.ToolCallsCancelled) -> None:
        self._tell(tell.ToolsUnwanted(self.talk.number, self.talk.tools.cancelled(event.ids)))

    def _usage_counted(self, event: on.UsageCounted) -> None:
        if not event.usage.prompt:
            return
        over = self._is_of_the_turn_before
        turn, pieces = (self.talk.last, []) if over else (self.talk.number, self._pieces)
        answer = answered(event.spoken, self.talk.answered)
        self.accounts.counted(turn, event.usage, pieces, heard=event.heard, answer=answer)
        self.coverage.ledger = self.accounts.ledger
        self._tell(tell.TokensCounted(turn, self.coverage.ledger))

    @property
    def _is_of_the_turn_before(self) -> bool:
        """Whether a usage that comes now is that of the completed turn: it may come late, when the client speaks on.

        Before anything of an answer there is nothing that could be billed for the turn in progress.
        """
        stage = self.talk.stage
        return stage is Stage.QUIET or (stage is Stage.LISTENING and self.accounts.awaits(self.talk.last))

    def _handle_updated(self, event: on.HandleUpdated) -> None:
        if event.secret is not None and self.talk.stage is not Stage.ANSWERING:
            advised = event.advised and self.coverage.advice_is_live
            if event.consumed is not None and self.coverage.advice_was_overtaken and not advised:
                return  # nobody can tell how much advice of this turn it holds
            known = event.consumed is not None and (advised or event.consumed > self.talk.boundary)
            ahead = event.consumed if known else None
            self.coverage.handle_updated(event.secret, ahead, advised=advised, consumed=event.consumed)
            if self.coverage.handle is not None:
                self.accounts.covered(self.coverage.handle.covers_turn)

    def _checkpoint_stored(self, event: on.CheckpointStored) -> None:
        self._tell_all(self.completions.stored(event.turn))
        self._tell_all(self.coverage.stored(event))

    _ON: ClassVar[Mapping[type[Any], Callable[[Any, Any], None]]] = {
        on.SpeechBegan: _speech_began,
        on.ClientWrote: _client_wrote,
        on.UserHeard: _user_heard,
        on.AnswerBegan: _answer_began,
        on.AgentSaid: _agent_said,
        on.GenerationCompleted: _generation_completed,
        on.Interrupted: _interrupted,
        on.TurnCompleted: _turn_completed,
        on.ToolsCalled: _tools_called,
        on.ToolCallsCancelled: _tools_cancelled,
        on.UsageCounted: _usage_counted,
        on.HandleUpdated: _handle_updated,
        on.CheckpointStored: _checkpoint_stored,
    }
