"""The turn-taking: what the user says, when the model answers, and how an answer is cut off.

The model is in one of four states:

=========  =============================================================================================
LISTENING  it waits for the user
THINKING   an answer is due shortly; the user speaking on takes it back without a word
CALLING    tools were called, and not all results are there; what interrupts an answer cancels the calls
SPEAKING   the answer is being sent; the user's activity, text or content interrupts it
=========  =============================================================================================

The user's turn enters the context when the activity ends, the model's when it has been said, or as much of it as was
said before the interruption (``interrupted``, then ``turnComplete``, and no ``generationComplete`` [DOC]).
"""

from collections.abc import Iterable
from enum import Enum, auto
from functools import partial
from itertools import count
from typing import Final

from services.emulator import amend, closes, replies, tokens, toolbox
from services.emulator.bookmarks import Bookmarks
from services.emulator.brain import Answer, Call
from services.emulator.closes import RefusedError
from services.emulator.context import Context, Kind, Role, Turn, text_turn
from services.emulator.effects import Answered, ContextChanged, Send
from services.emulator.faults import Moment
from services.emulator.messages import (
    ActivityEnd,
    ActivityStart,
    AudioInput,
    AudioStreamEnd,
    ClientContent,
    ContentTurn,
    ContextUpdate,
    FunctionResponse,
    RealtimeItem,
    Setup,
    TextInput,
)
from services.emulator.microphone import Microphone, Noticed
from services.emulator.performance import Performance
from services.emulator.profiles import Content, Instruction, Profile
from services.emulator.score import Piece, Voice
from services.emulator.surroundings import Surroundings
from services.emulator.tokens import Tokens
from services.emulator.toolbox import Pending
from services.emulator.utterance import Utterance
from services.emulator.vad import Edge
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


class Dialogue:
    """The conversation on one connection, from the setup on."""

    def __init__(
        self, setup: Setup, profile: Profile, context: Context, around: Surroundings, bookmarks: Bookmarks | None
    ) -> None:
        """Begin with `context`; without `bookmarks` the client wants no resumption updates."""
        self.context = context
        self.state = State.LISTENING
        self._setup = setup
        self._profile = profile
        self._settings = around.settings
        self._brain = around.brain
        self._agenda = around.agenda
        self._emit = around.emit
        self._strike = around.strike
        self._chance = around.chance
        self._bookmarks = bookmarks
        self._microphone = Microphone(setup, around.settings.silence, around.emit)
        self._prompted: Context | None = None
        self._performance: Performance | None = None
        self._pending: Pending | None = None
        self._tools = toolbox.declared(setup.tools)
        self._meanwhile: list[Turn] = []
        self._asked_meanwhile = False
        self._stream = around.chance.getrandbits(32)
        self._frame = 0

    # What the client sends

    def realtime(self, item: RealtimeItem, now: float) -> None:
        """Take something live.

        Raises:
            RefusedError: The real service would end the connection.
        """
        match item:
            case AudioInput():
                self._notice(self._microphone.hear(item), now)
            case TextInput():
                self._read(item.text, now)
            case ActivityStart():
                self._notice(self._microphone.mark(Edge.STARTED), now)
            case ActivityEnd():
                self._notice(self._microphone.mark(Edge.ENDED), now)
            case AudioStreamEnd():
                self._notice(self._microphone.stream_ended(), now)

    def content(self, content: ClientContent, now: float) -> None:
        """Take content for the context in mid-session; it interrupts, and is answered if it is complete.

        Raises:
            RefusedError: The model takes none, or no turn of role ``system``.
        """
        if self._profile.content is Content.REFUSED:
            raise RefusedError(closes.INVALID_ARGUMENT)
        self._interrupt(now)
        self._change(amend.with_content(self.context, content.turns, self._profile.system_role))
        if content.complete and self.context.turns and self.context.turns[-1].role is Role.USER:
            self._ask(now)

    def seed(self, turns: Iterable[ContentTurn]) -> None:
        """Take initial history: nothing is answered, and compression keeps it.

        Raises:
            RefusedError: The model takes no turn of role ``system``.
        """
        self._change(amend.with_content(self.context, turns, self._profile.system_role).seeded())

    def update(self, update: ContextUpdate) -> None:
        """Change the preamble, as far as the model lets it.

        Raises:
            RefusedError: The model does not.
        """
        self._change(amend.with_instruction(self.context, update.instruction, self._profile.context_update))
        if update.tools is not None and self._profile.context_update is Instruction.REPLACES:
            self._tools = toolbox.declared(update.tools)

    def tool_results(self, responses: Iterable[FunctionResponse], now: float) -> None:
        """Take results of tool calls; those nobody waits for are ignored [?]."""
        if self._pending is not None and self._pending.take(responses):
            pending, self._pending = self._pending, None
            self._change(self.context.plus(*pending.turns))
            self.state = State.LISTENING
            self._ask(now)

    def bookmark(self, now: float) -> None:
        """Plan a resumption update for the context as it is."""
        if self._bookmarks is not None:
            self._bookmarks.plan(now, self.context)

    # The user's activity

    def _notice(self, noticed: Iterable[Noticed], now: float) -> None:
        for event in noticed:
            if isinstance(event, Utterance):
                self._end_activity(event, now)
            else:
                self._begin_activity(now)

    def _begin_activity(self, now: float) -> None:
        self._strike(Moment.ACTIVITY, now)
        if self._setup.detection.interrupts:
            self._interrupt(now)
            self._take_back()

    def _end_activity(self, utterance: Utterance, now: float) -> None:
        if utterance.seconds:
            rest = partial(self._transcribe_rest, utterance)
            self._agenda.at(now + self._chance.uniform(0.0, self._settings.thinking), rest)
            self._add(utterance.turn)
            self._ask(now)
        elif not self._busy:
            self._catch_up(now)

    def _transcribe_rest(self, utterance: Utterance, _due: float) -> None:
        self._microphone.transcribe(utterance, final=True)

    def _read(self, text: str, now: float) -> None:
        if self._profile.realtime_text_answers and self._setup.detection.interrupts:
            self._interrupt(now)  # detected text input counts as activity [DOC]
        self._add(text_turn(Role.USER, text))
        if self._profile.realtime_text_answers:
            self._ask(now)

    # The answer

    def _ask(self, now: float) -> None:
        """Make the model answer: soon, or as soon as it can."""
        if self._busy or self._microphone.active:
            self._asked_meanwhile = True
        elif self.state is State.LISTENING:
            self.state = State.THINKING
            self._agenda.at(now + self._settings.thinking, self._answer, _ANSWER)

    @property
    def _busy(self) -> bool:
        """Whether the model is in the middle of its turn."""
        return self.state in {State.SPEAKING, State.CALLING}

    def _answer(self, due: float) -> None:
        self._asked_meanwhile = False
        context = fitted(self.context, self._settings.window or self._profile.window, self._setup.compression)
        if context is not self.context:
            self._change(context)
        cached, self._prompted = context.beginning(self._prompted), context
        answer = self._brain.answer(context, self._tools)
        if self._bookmarks is not None and self._profile.marks_unresumable:
            self._bookmarks.withdraw(due)
        if answer.calls:
            self._call(answer.calls, cached, due)
        else:
            self._speak(answer, cached, due)

    def _call(self, calls: Iterable[Call], cached: Tokens, due: float) -> None:
        self.state = State.CALLING
        ids = (f"function-call-{self._chance.getrandbits(64)}" for _ in count())
        self._pending = Pending(dict(zip(ids, calls, strict=False)), self.context.tokens, cached)
        self._emit(Send(self._pending.message))
        self._strike(Moment.TOOL_CALL, due)

    def _speak(self, answer: Answer, cached: Tokens, due: float) -> None:
        kind = Kind.TEXT if "TEXT" in self._setup.modalities else Kind.AUDIO
        speaker = Voice(self._stream, self._frame, self.context.answers + 1)
        self.state = State.SPEAKING
        self._performance = Performance(kind, speaker, self.context.tokens, cached, answer.greeting)
        captions = self._chance if self._setup.transcribes_output else None
        plan = self._performance.score(answer.text, self._settings.speed, captions)
        for piece in plan.pieces:
            self._agenda.at(due + piece.at, partial(self._say, self._performance, piece), _ANSWER)
        self._agenda.at(due + plan.seconds, self._complete_generation, _ANSWER)
        self._agenda.at(due + plan.seconds + TAIL, self._complete_turn, _ANSWER)
        self._strike(Moment.ANSWER, due)

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
            self._change(self.context.plus(performance.turn))
        greeting = performance.greeting and bool(performance.said)
        self._end_turn(Answered(performance.prompt, performance.response, performance.cached, greeting), due)

    def _end_turn(self, answered: Answered, due: float) -> None:
        self.state = State.LISTENING
        self._emit(answered)
        field = self._profile.response_tokens_field
        self._emit(Send(replies.turn_complete(answered.prompt, answered.response, answered.cached, field)))
        self._strike(Moment.TURN, due)
        self.bookmark(due)
        self._catch_up(due)

    def _catch_up(self, now: float) -> None:
        """Take in what the user said while the model was speaking, and answer it if an answer was asked for."""
        meanwhile, self._meanwhile = self._meanwhile, []
        asked, self._asked_meanwhile = self._asked_meanwhile, False
        if meanwhile:
            self._change(self.context.plus(*meanwhile))
        if asked:
            self._ask(now)

    def _interrupt(self, now: float) -> None:
        """Cut off what the model is doing, if it is in the middle of its turn."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._change(self.context.plus(pending.asked))
            self._emit(Send(pending.cancellation))
            self._emit(Send(replies.interrupted()))
            self._end_turn(Answered(pending.prompt, tokens.NONE, pending.cached, greeting=False), now)
        elif self.state is State.SPEAKING:
            self._agenda.cancel(_ANSWER)
            self._emit(Send(replies.interrupted()))
            self._complete_turn(now)

    def _take_back(self) -> None:
        """Forget the answer that the model was about to give: the user goes on speaking."""
        if self.state is State.THINKING:
            self._agenda.cancel(_ANSWER)
            self.state = State.LISTENING

    # The context

    def _add(self, turn: Turn) -> None:
        """Add what the user said: after what the model is saying now."""
        if self._busy:
            self._meanwhile.append(turn)
        else:
            self._change(self.context.plus(turn))

    def _change(self, context: Context) -> None:
        self.context = context
        self._emit(ContextChanged(context))
