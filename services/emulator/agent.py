"""The model's side of a dialogue: it listens, thinks, calls tools, speaks, and is cut off.

=========  =============================================================================================
LISTENING  it waits for the user
THINKING   an answer is due shortly; the user speaking on takes it back without a word
CALLING    tools were called, and not all results are there; what interrupts an answer cancels the calls
SPEAKING   the answer is being sent; the user's activity, text or content interrupts it
=========  =============================================================================================

Its turn enters the context when it has been said, or as much of it as was said before the interruption
(``interrupted``, then ``turnComplete``, and no ``generationComplete`` [DOC]).
"""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from typing import Final

from services.emulator import replies, tokens, toolbox
from services.emulator.backlog import Backlog
from services.emulator.bookmarks import Bookmarks
from services.emulator.brain import Answer
from services.emulator.categories import prompt
from services.emulator.context import Context, Kind, Turn
from services.emulator.effects import Answered, ContextChanged, Send
from services.emulator.faults import Moment
from services.emulator.messages import FunctionResponse, Scheduling, Setup
from services.emulator.performance import Performance
from services.emulator.profiles import Profile
from services.emulator.score import Piece, Voice
from services.emulator.surroundings import Surroundings
from services.emulator.tokens import Tokens
from services.emulator.toolbox import Toolbox
from services.emulator.window import fitted

TAIL: Final = 0.010
"""Seconds between ``generationComplete`` and ``turnComplete`` [?]."""
_ANSWER: Final = "answer"


class State(Enum):
    """What the model is doing."""

    LISTENING = auto()
    THINKING = auto()
    CALLING = auto()
    SPEAKING = auto()


class Agent:
    """The model on one connection.

    Attributes:
        context: What it knows.
        state: What it is doing.
        backlog: What was said while it was busy.
        toolbox: Its tools.

    Args:
        setup: What the client wants.
        profile: How the model behaves.
        context: What it knows at the beginning.
        around: Where effects and plans go.
        bookmarks: Who tells handles; None if the client wants none.
    """

    def __init__(
        self, setup: Setup, profile: Profile, context: Context, around: Surroundings, bookmarks: Bookmarks | None
    ) -> None:
        self.context = context
        self.state = State.LISTENING
        self.backlog = Backlog()
        self.toolbox = Toolbox(setup.tools, partial(around.chance.getrandbits, 64))
        self.user_speaks: Callable[[], bool] = lambda: False
        self.consumed: Callable[[], int] = lambda: 0
        self._setup = setup
        self._profile = profile
        self._around = around
        self._settings = around.settings
        self._agenda = around.agenda
        self._emit = around.emit
        self._bookmarks = bookmarks
        self._prompted: Context | None = None
        self._performance: Performance | None = None
        self._stream = around.chance.getrandbits(32)
        self._frame = 0

    # What it is told

    @property
    def busy(self) -> bool:
        """Whether it is in the middle of its turn."""
        return self.state in {State.SPEAKING, State.CALLING}

    def change(self, context: Context) -> None:
        """This is what it knows from now on."""
        self.context = context
        self._emit(ContextChanged(context))

    def grow(self, context: Context) -> None:
        """Know this from now on, if it fits the window.

        Raises:
            RefusedError: It does not, and compression would not help.
        """
        fitted(context, self._profile.window, self._setup.compression)
        self.change(context)

    def add(self, turn: Turn, since: int) -> None:
        """The user said this, from that message of the client on; it comes after what the model is saying now."""
        if self.busy:
            self.backlog.add(turn, since)
        else:
            self.grow(self.context.plus(turn))

    def ask(self, now: float) -> None:
        """Make it answer: soon, or as soon as it can."""
        if self.busy or self.user_speaks():
            self.backlog.asked = True
        elif self.state is State.LISTENING:
            self.state = State.THINKING
            self._agenda.at(now + self._settings.thinking, self._answer, _ANSWER)
            self._around.strike(Moment.HEARD, now)

    def take_back(self) -> None:
        """Put off the answer that it was about to give: the user goes on speaking, and gets it after that."""
        if self.state is State.THINKING:
            self._agenda.cancel(_ANSWER)
            self.state = State.LISTENING
            self.backlog.asked = True

    def interrupt(self, now: float) -> None:
        """Cut off what it is doing, if it is in the middle of its turn."""
        if (pending := self.toolbox.finish()) is not None:
            self.change(self.context.plus(pending.asked))
            self._emit(Send(pending.cancellation))
            self._emit(Send(replies.interrupted()))
            self._end_turn(Answered(pending.prompt, tokens.NONE, greeting=False), now)
        elif self.state is State.SPEAKING:
            self._agenda.cancel(_ANSWER)
            self._emit(Send(replies.interrupted()))
            self._complete_turn(now)

    def tool_results(self, responses: Iterable[FunctionResponse], now: float, since: int) -> None:
        """Take results of tool calls; those nobody waits for are ignored [?]."""
        responses = tuple(responses)
        pending = self.toolbox.pending
        if pending is not None and pending.take(responses):
            self.toolbox.finish()
            self.grow(self.context.plus(*pending.turns))
            self.state = State.LISTENING
            self.ask(now)
        for turn, scheduling in self.toolbox.late(responses):
            if scheduling is Scheduling.INTERRUPT:
                self.interrupt(now)
            self.add(turn, since)
            if scheduling is not Scheduling.SILENT:
                self.ask(now)

    def catch_up(self, now: float) -> None:
        """Take in what was said while it was busy, and answer it if an answer was asked for."""
        meanwhile, asked = self.backlog.take()
        if meanwhile:
            self.grow(self.context.plus(*meanwhile))
        if asked:
            self.ask(now)

    def bookmark(self, now: float) -> None:
        """Plan a resumption update for the context as it is."""
        if self._bookmarks is not None:
            self._bookmarks.plan(now, self.context, self.consumed())

    # Its answer

    def _answer(self, due: float) -> None:
        self.backlog.asked = False
        context = fitted(self.context, self._profile.window, self._setup.compression)
        if context is not self.context:
            self.change(context)
        cached, self._prompted = context.beginning(self._prompted), context
        answer = self._around.brain.answer(context, self.toolbox.functions)
        if self._bookmarks is not None and self._profile.marks_unresumable:
            self._bookmarks.withdraw(due)
        if answer.calls:
            self._call(answer, cached, due)
        else:
            self._speak(answer, cached, due)

    def _call(self, answer: Answer, cached: Tokens, due: float) -> None:
        self.state = State.CALLING
        self._emit(Send(self.toolbox.call(answer.calls, prompt(self.context, cached))))
        self._around.strike(Moment.TOOL_CALL, due)
        if self.toolbox.pending is None:  # none of the calls blocks: it talks on
            words = self._around.brain.answer(self.context)
            self.change(self.context.plus(toolbox.asked(answer.calls)))
            self._speak(words, cached, due)

    def _speak(self, answer: Answer, cached: Tokens, due: float) -> None:
        kind = Kind.TEXT if "TEXT" in self._setup.modalities else Kind.AUDIO
        speaker = Voice(self._stream, self._frame, self.context.answers + 1)
        self.state = State.SPEAKING
        self._performance = Performance(kind, speaker, prompt(self.context, cached), answer.greeting)
        captions = self._around.chance if self._setup.transcribes_output else None
        plan = self._performance.score(answer.text, self._settings.speed, captions)
        for piece in plan.pieces:
            self._agenda.at(due + piece.at, partial(self._say, self._performance, piece), _ANSWER)
        self._agenda.at(due + plan.seconds, self._complete_generation, _ANSWER)
        self._agenda.at(due + plan.seconds + TAIL, self._complete_turn, _ANSWER)
        self._around.strike(Moment.ANSWER, due)

    def _say(self, performance: Performance, piece: Piece, _due: float) -> None:
        performance.give(piece)
        self._frame = performance.next_frame
        self._emit(Send(piece.message))

    def _complete_generation(self, _due: float) -> None:
        self._emit(Send(replies.generation_complete()))

    def _complete_turn(self, due: float) -> None:
        performance, self._performance = self._performance, None
        if performance is None:
            return
        if performance.said:
            self.change(self.context.plus(performance.turn))
        greeting = performance.greeting and bool(performance.said)
        self._end_turn(Answered(performance.prompt, performance.response, greeting), due)

    def _end_turn(self, answered: Answered, due: float) -> None:
        self.state = State.LISTENING
        self._emit(answered)
        asked, field = answered.prompt, self._profile.response_tokens_field
        self._emit(Send(replies.turn_complete(asked.tokens, answered.response, asked.cached, field)))
        self._around.strike(Moment.TURN, due)
        self.bookmark(due)
        self.catch_up(due)
