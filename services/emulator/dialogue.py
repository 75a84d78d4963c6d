"""The turn-taking: what the user says, when the model answers, and how an answer is cut off.

The model is in one of three states:

=========  =============================================================================================
LISTENING  it waits for the user
THINKING   an answer is due shortly; the user speaking on takes it back without a word
SPEAKING   the answer is being sent; the user's activity, text or content interrupts it
=========  =============================================================================================

The user's turn enters the context when the activity ends, the model's when it has been said, or as much of it as was
said before the interruption (``interrupted``, then ``turnComplete``, and no ``generationComplete`` [DOC]).
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Final

from services.emulator import closes, replies
from services.emulator.agenda import Agenda
from services.emulator.bookmarks import Bookmarks, Step
from services.emulator.brain import Brain
from services.emulator.closes import RefusedError
from services.emulator.config import Settings
from services.emulator.context import Context, Kind, Role, Turn, compress, text_turn
from services.emulator.effects import Answered, ContextChanged, Effect, Send
from services.emulator.faults import Moment
from services.emulator.messages import (
    ActivityEnd,
    ActivityStart,
    AudioInput,
    AudioStreamEnd,
    ClientContent,
    ContentTurn,
    ContextUpdate,
    RealtimeItem,
    Setup,
    TextInput,
)
from services.emulator.microphone import Microphone, Noticed
from services.emulator.performance import Performance
from services.emulator.profiles import Content, Instruction, Profile
from services.emulator.score import Piece, Voice
from services.emulator.utterance import Utterance
from services.emulator.vad import Edge

TAIL: Final = 0.010
"""Seconds between ``generationComplete`` and ``turnComplete`` [?]."""
TRIGGER: Final = 0.8
"""Share of the window at which compression begins, unless the setup says otherwise [DOC]."""
_ANSWER: Final = "answer"


class State(Enum):
    """What the model is doing."""

    LISTENING = auto()
    THINKING = auto()
    SPEAKING = auto()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a dialogue needs from its session: where effects, plans and moments go, and the source of all jitter."""

    settings: Settings
    brain: Brain
    agenda: Agenda[Step]
    emit: Callable[[Effect], None]
    strike: Callable[[Moment, float], object]
    chance: random.Random


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
        self._performance: Performance | None = None
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
        self._change(self._with(content.turns))
        if content.complete and self.context.turns and self.context.turns[-1].role is Role.USER:
            self._ask(now)

    def seed(self, turns: Iterable[ContentTurn]) -> None:
        """Take initial history: nothing is answered, and compression keeps it.

        Raises:
            RefusedError: The model takes no turn of role ``system``.
        """
        self._change(self._with(turns).seeded())

    def update(self, update: ContextUpdate) -> None:
        """Change the preamble, as far as the model lets it.

        Raises:
            RefusedError: The model does not.
        """
        self._instruct(self._profile.context_update, update.instruction)

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
        elif self.state is not State.SPEAKING:
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
        if self.state is State.SPEAKING or self._microphone.active:
            self._asked_meanwhile = True
        elif self.state is State.LISTENING:
            self.state = State.THINKING
            self._agenda.at(now + self._settings.thinking, self._answer, _ANSWER)

    def _answer(self, due: float) -> None:
        self._asked_meanwhile = False
        self._fit_window()
        answer = self._brain.answer(self.context)
        if self._bookmarks is not None and self._profile.marks_unresumable:
            self._bookmarks.withdraw(due, explicit=self._settings.explicit_unresumable)
        kind = Kind.TEXT if "TEXT" in self._setup.modalities else Kind.AUDIO
        number = sum(turn.role is Role.MODEL for turn in self.context.turns) + 1
        speaker = Voice(self._stream, self._frame, number)
        self.state = State.SPEAKING
        self._performance = Performance(kind, speaker, self.context.tokens, answer.greeting)
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
        self.state = State.LISTENING
        response = performance.response
        if performance.said:
            self._change(self.context.plus(performance.turn))
        field = self._profile.response_tokens_field
        self._emit(Answered(performance.prompt, response, greeting=performance.greeting and bool(performance.said)))
        self._emit(Send(replies.turn_complete(performance.prompt, response, field)))
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
        """Cut off what the model is saying, if it is saying something."""
        if self.state is State.SPEAKING:
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
        if self.state is State.SPEAKING:
            self._meanwhile.append(turn)
        else:
            self._change(self.context.plus(turn))

    def _change(self, context: Context) -> None:
        self.context = context
        self._emit(ContextChanged(context))

    def _with(self, turns: Iterable[ContentTurn]) -> Context:
        for turn in turns:
            if turn.role is None:
                self._instruct(self._profile.system_role, turn.text)
        return self.context.plus(*(text_turn(turn.role, turn.text) for turn in turns if turn.role is not None))

    def _instruct(self, rule: Instruction, instruction: str | None) -> None:
        if rule is Instruction.REFUSED:
            raise RefusedError(closes.INVALID_ARGUMENT)
        if rule is Instruction.REPLACES and instruction is not None:
            self._change(self.context.instructed(instruction))

    def _fit_window(self) -> None:
        window = self._settings.window or self._profile.window
        wanted = self._setup.compression
        if wanted is not None:
            trigger = round(window * TRIGGER) if wanted.trigger is None else wanted.trigger
            if self.context.tokens.total > trigger:
                self._change(compress(self.context, trigger // 2 if wanted.target is None else wanted.target))
        if (total := self.context.tokens.total) > window:
            raise RefusedError(closes.context_overflow(total, window))
