"""One connection as the server sees it, decided without I/O.

`Session` is told what arrives and what time it is, and leaves effects: messages to send, the close, facts for the
account. Whatever happens later (a piece of the answer, goAway, a handle) is a step on its agenda; `due` says when to
come back and call `advance`. Nothing here waits, and all randomness comes from the source it is given.

Theory
======
A connection is in one of four phases:

=======  ===============================================================================================
SETUP    only ``setup`` is welcome; a wrong key is refused here too, after the upgrade and the setup [OBS]
HISTORY  the setup announced initial history: ``clientContent`` is taken as such until ``turnComplete``,
         without an answer; everything else is held until then
OPEN     the dialogue goes on (see `dialogue`)
CLOSED   nothing has an effect
=======  ===============================================================================================

Beside it the connection grows old (see `age`): goAway, then the end.

A handle holds the context as it was when a turn completed, and comes 20 to 70 ms later. Audio that was heard but is
not yet answered is in no handle; a cut answer leaves no trace in a session that is resumed from an earlier one.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final

from services.emulator import admission, closes, mishaps, replies, toolbox, wire
from services.emulator.admission import Caller
from services.emulator.age import Age
from services.emulator.agenda import Agenda, Step
from services.emulator.bookmarks import Bookmarks
from services.emulator.brain import Brain
from services.emulator.closes import Close, RefusedError
from services.emulator.config import Settings
from services.emulator.context import Context
from services.emulator.dialogue import Dialogue
from services.emulator.effects import Asked, Began, Continued, Cut, Effect, End, Send, VoiceHeard
from services.emulator.faults import Moment, Plan
from services.emulator.handles import HandleStore
from services.emulator.messages import (
    ClientContent,
    ClientMessage,
    ContextUpdate,
    RealtimeInput,
    Setup,
    ToolResponse,
    VideoInput,
)
from services.emulator.mishaps import Mishaps
from services.emulator.profiles import Backend, Lifetime, Profile
from services.emulator.surroundings import Surroundings
from services.emulator.window import fitted

HELD: Final = 10_000
"""How many messages are held while initial history is awaited."""


class Phase(Enum):
    """How far the connection has come."""

    SETUP = auto()
    HISTORY = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sessions of one emulator have in common."""

    settings: Settings
    brain: Brain
    handles: HandleStore
    faults: Plan


class Session:
    """What one connection decides.

    Args:
        shared: What it shares with the other sessions.
        caller: Who opened it.
        chance: Source of all jitter, and of the voice's identity.
        now: The time it was opened, in monotonic seconds as in every other method.
    """

    def __init__(self, shared: Shared, caller: Caller, chance: random.Random, now: float) -> None:
        self.phase = Phase.SETUP
        self._shared = shared
        self._caller = caller
        self._chance = chance
        self._effects: list[Effect] = []
        self._agenda: Agenda[Step] = Agenda()
        self._mishaps = Mishaps(shared.faults, self._agenda, self._emit)
        self._lineage: str | None = None
        self._dialogue: Dialogue | None = None
        self._held: list[tuple[int, ClientMessage]] = []
        self._message = 0
        self._age = Age(now, shared.settings, self._agenda, self._emit, self._mishaps.strike)

    @property
    def due(self) -> float | None:
        """When to call `advance` next; None once the session is closed."""
        return None if self.phase is Phase.CLOSED else self._agenda.due

    def effects(self) -> list[Effect]:
        """What has come up since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects

    def receive(self, frame: str | bytes, now: float) -> None:
        """A frame arrived."""
        self.advance(now)
        if self.phase is Phase.CLOSED:
            return
        try:
            if self.phase is Phase.SETUP:
                admission.check_key(self._caller, self._shared.settings)
            self._take(self._message, wire.decode(frame, self._caller.backend), now)
            self._message += 1
        except RefusedError as refused:
            self.end(refused.close)

    def advance(self, now: float) -> None:
        """Do all that is due by `now`."""
        while self.phase is not Phase.CLOSED and (planned := self._agenda.pop(now)) is not None:
            due, step = planned
            try:
                step(due)
            except RefusedError as refused:
                self.end(refused.close)

    def end(self, close: Close) -> None:
        """End the connection with this close."""
        self._emit(End(close))

    def disconnected(self, now: float) -> None:
        """The socket is closed, both ways: the handles of this session can be redeemed from now on. Once is enough."""
        self.phase = Phase.CLOSED
        lineage, self._lineage = self._lineage, None
        if lineage is not None:
            self._shared.handles.closed(lineage, self._caller.connection, now)

    # Messages

    def _take(self, number: int, message: ClientMessage, now: float) -> None:
        take = self._TAKES.get((self.phase, type(message)))
        if take is None:
            raise RefusedError(closes.INVALID_ARGUMENT)
        if self._dialogue is not None:
            self._dialogue.message = number
        take(self, message, now)

    def _set_up(self, setup: Setup, now: float) -> None:
        handle = setup.resumption.handle if setup.resumption else None
        self._recognise(setup, handle)
        struck = self._mishaps.strike(Moment.RESUME if handle else Moment.SETUP, now)
        if self.phase is Phase.CLOSED:
            return
        profile = admission.check_setup(setup, self._caller, self._shared.settings, self._shared.handles.open_sessions)
        snapshot = (
            admission.redeem(handle, setup.model, self._caller.backend, self._shared.handles, now) if handle else None
        )
        lineage = snapshot.lineage if snapshot else self._caller.connection
        began = self._shared.handles.opened(lineage, self._caller.connection, now, profile.handle_lifetime)
        self._lineage = self._mishaps.conversation.lineage = lineage
        self._age.settle(profile, self._spend)
        if setup.compression is None:
            self._age.limit_session(began)
        # Nothing says that the system instruction or the tools persist: they are this setup's, or there are none.
        kept = mishaps.remaining(snapshot.context if snapshot else Context(), struck.loss)
        context = kept.instructed(setup.instruction).equipped(toolbox.text_of(setup.tools))
        fitted(context, profile.window, setup.compression)
        self._emit(Began(Continued.HANDLE if snapshot else Continued.NEW, context))
        self._emit(Send(replies.setup_complete(lineage if self._caller.backend is Backend.VERTEX else None)))
        self._dialogue = self._begin(setup, profile, context, lineage)
        self._dialogue.bookmark(now)
        self.phase = Phase.HISTORY if setup.brings_history else Phase.OPEN
        self._mishaps.strike(Moment.RESUMED if snapshot else Moment.OPEN, now)

    def _recognise(self, setup: Setup, handle: str | None) -> None:
        """Note what is known of the conversation before it is resumed or begun."""
        conversation = self._mishaps.conversation
        conversation.lineage, conversation.instruction = self._caller.connection, setup.instruction
        if handle and (known := self._shared.handles.peek(handle)) is not None:
            conversation.lineage = known.lineage
            conversation.voices |= known.context.voices
        self._emit(Asked(setup.model, self._caller.backend, conversation.lineage, handle or ""))

    def _begin(self, setup: Setup, profile: Profile, context: Context, lineage: str) -> Dialogue:
        around = Surroundings(
            self._shared.settings, self._shared.brain, self._agenda, self._emit, self._mishaps.strike, self._chance
        )
        if setup.resumption is None:
            return Dialogue(setup, profile, context, around, None)
        transparent = setup.resumption.transparent
        store, backend = self._shared.handles, self._caller.backend
        bookmarks = Bookmarks(around, store, lineage, setup.model, backend, transparent=transparent)
        return Dialogue(setup, profile, context, around, bookmarks)

    def _spend(self, lifetime: Lifetime) -> None:
        """The connection's life is over, and perhaps the session's with it."""
        if self._lineage is not None and not lifetime.resumable:
            self._shared.handles.spend(self._lineage)

    def _emit(self, effect: Effect) -> None:
        """Add an effect; nothing follows the end."""
        if self.phase is Phase.CLOSED:
            return
        self._effects.append(effect)
        if isinstance(effect, VoiceHeard):
            self._mishaps.conversation.voices.add(effect.heard.stream)
        if isinstance(effect, End | Cut):
            self.phase = Phase.CLOSED

    def _hold(self, message: ClientMessage, _now: float) -> None:
        if len(self._held) >= HELD:
            raise RefusedError(closes.INVALID_ARGUMENT)
        self._held.append((self._message, message))

    def _seed(self, content: ClientContent, now: float) -> None:
        dialogue = self._talk
        dialogue.seed(content.turns)
        if not content.complete:
            return
        if self._lineage == self._caller.connection:
            self._emit(Began(Continued.HISTORY, dialogue.context))
        dialogue.bookmark(now)
        self.phase = Phase.OPEN
        held, self._held = self._held, []
        for number, message in held:
            self._take(number, message, now)

    @property
    def _talk(self) -> Dialogue:
        if self._dialogue is None:
            raise RefusedError(closes.INVALID_ARGUMENT)
        return self._dialogue

    def _realtime(self, message: RealtimeInput, now: float) -> None:
        for item in message.items:
            if isinstance(item, VideoInput):
                self._age.saw_video()
            self._talk.realtime(item, now)

    def _content(self, message: ClientContent, now: float) -> None:
        self._talk.content(message, now)

    def _update(self, message: ContextUpdate, _now: float) -> None:
        self._talk.update(message)

    def _tool_response(self, message: ToolResponse, now: float) -> None:
        self._talk.tool_results(message.responses, now)

    # What each phase does with each message. What is not here is an invalid argument [OBS: audio before the setup].
    _TAKES: ClassVar[Mapping[tuple[Phase, type], Callable[["Session", Any, float], None]]] = {
        (Phase.SETUP, Setup): _set_up,
        (Phase.HISTORY, ClientContent): _seed,
        (Phase.HISTORY, RealtimeInput): _hold,
        (Phase.HISTORY, ContextUpdate): _hold,
        (Phase.OPEN, RealtimeInput): _realtime,
        (Phase.OPEN, ClientContent): _content,
        (Phase.OPEN, ContextUpdate): _update,
        (Phase.OPEN, ToolResponse): _tool_response,
    }
