"""The turn-taking: what the client sends, and what it makes of the model's turn (see `agent`).

The user's turn enters the context when the activity ends; what is said while the model is busy, after the model's.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from services.emulator import amend, closes, toolbox
from services.emulator.agent import Agent
from services.emulator.bookmarks import Bookmarks
from services.emulator.camera import Camera
from services.emulator.closes import RefusedError
from services.emulator.context import Context, Role, Turn, text_turn
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
    VideoInput,
)
from services.emulator.microphone import Microphone, Noticed
from services.emulator.profiles import Content, Instruction, Profile
from services.emulator.surroundings import Surroundings
from services.emulator.utterance import Utterance
from services.emulator.vad import Edge


class Dialogue:
    """The conversation on one connection, from the setup on.

    Attributes:
        message: The number of the client's message that is being taken; the setup is 0.
    """

    def __init__(
        self, setup: Setup, profile: Profile, context: Context, around: Surroundings, bookmarks: Bookmarks | None
    ) -> None:
        """Begin with `context`; without `bookmarks` the client wants no resumption updates."""
        self.message = 0
        self._setup = setup
        self._profile = profile
        self._around = around
        self._microphone = Microphone(setup, around.settings.silence, around.emit)
        self._camera = Camera(setup.coverage)
        self._speaks_since = 0
        self._agent = Agent(setup, profile, context, around, bookmarks)
        self._agent.user_speaks = lambda: self._microphone.active
        self._agent.consumed = self._consumed

    @property
    def context(self) -> Context:
        """What the model knows."""
        return self._agent.context

    def realtime(self, item: RealtimeItem, now: float) -> None:
        """Take something live.

        Raises:
            RefusedError: The real service would end the connection.
        """
        match item:
            case AudioInput():
                self._notice(self._microphone.hear(item), now)
            case VideoInput():
                self._camera.see(active=self._microphone.active)
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
        self._agent.interrupt(now)
        context = amend.with_content(self.context, content.turns, self._profile.system_role)
        self._agent.grow(context)
        if content.complete and context.turns and context.turns[-1].role is Role.USER:
            self._agent.ask(now)

    def seed(self, turns: Iterable[ContentTurn]) -> None:
        """Take initial history: nothing is answered, and compression keeps it.

        Raises:
            RefusedError: The model takes no turn of role ``system``, or the window is too small.
        """
        self._agent.grow(amend.with_content(self.context, turns, self._profile.system_role).seeded())

    def update(self, update: ContextUpdate) -> None:
        """Change the preamble, as far as the model lets it.

        Raises:
            RefusedError: The model does not, or the window is too small for it.
        """
        rule = self._profile.context_update
        context = amend.with_instruction(self.context, update.instruction, rule)
        if update.tools is not None and rule is Instruction.REPLACES:
            self._agent.toolbox.declare(update.tools)
            context = context.equipped(toolbox.text_of(update.tools))
        self._agent.grow(context)

    def tool_results(self, responses: Iterable[FunctionResponse], now: float) -> None:
        """Take results of tool calls."""
        self._agent.tool_results(responses, now, self.message)

    def bookmark(self, now: float) -> None:
        """Plan a resumption update for the context as it is."""
        self._agent.bookmark(now)

    def _notice(self, noticed: Iterable[Noticed], now: float) -> None:
        for event in noticed:
            if isinstance(event, Utterance):
                self._end_activity(event, now)
            else:
                self._begin_activity(now)

    def _begin_activity(self, now: float) -> None:
        self._speaks_since = self.message
        self._around.strike(Moment.ACTIVITY, now)
        if self._setup.detection.interrupts:
            self._agent.interrupt(now)
            self._agent.take_back()

    def _end_activity(self, utterance: Utterance, now: float) -> None:
        if utterance.seconds:
            rest = partial(self._transcribe_rest, utterance)
            self._around.agenda.at(now + self._around.chance.uniform(0.0, self._around.settings.thinking), rest)
            self._add(utterance.turn, self._speaks_since)
            self._agent.ask(now)
        elif not self._agent.busy:
            self._agent.catch_up(now)

    def _transcribe_rest(self, utterance: Utterance, _due: float) -> None:
        self._microphone.transcribe(utterance, final=True)

    def _read(self, text: str, now: float) -> None:
        if self._profile.realtime_text_answers and self._setup.detection.interrupts:
            self._agent.interrupt(now)  # detected text input counts as activity [DOC]
        self._add(text_turn(Role.USER, text), self.message)
        if self._profile.realtime_text_answers:
            self._agent.ask(now)

    def _add(self, turn: Turn, since: int) -> None:
        self._agent.add(replace(turn, tokens=turn.tokens + self._camera.take()), since)

    def _consumed(self) -> int:
        """The last message of the client whose content the context holds, or that had none for it."""
        waiting = [self._speaks_since] if self._microphone.active else []
        if self._agent.backlog.since is not None:
            waiting.append(self._agent.backlog.since)
        return min(waiting) - 1 if waiting else self.message
