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

Beside it the connection grows old: goAway, then the end with 1008.

A handle holds the context as it was when a turn completed, and comes 20 to 70 ms later. Audio that was heard but is
not yet answered is in no handle; a cut answer leaves no trace in a session that is resumed from an earlier one.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final

from services.emulator import closes, profiles, replies, wire
from services.emulator.agenda import Agenda, Step
from services.emulator.bookmarks import Bookmarks
from services.emulator.brain import Brain
from services.emulator.closes import Close, RefusedError
from services.emulator.config import Settings
from services.emulator.context import Context, Kind
from services.emulator.dialogue import Dialogue
from services.emulator.effects import Began, Continued, Cut, Effect, End, Send
from services.emulator.faults import Loss, Moment, Plan
from services.emulator.handles import HandleStore
from services.emulator.messages import ClientContent, ClientMessage, ContextUpdate, RealtimeInput, Setup, ToolResponse
from services.emulator.mishaps import Mishaps
from services.emulator.profiles import Backend, Profile
from services.emulator.surroundings import Surroundings

HELD: Final = 10_000
"""How many messages are held while initial history is awaited."""
_MODALITIES: Final = frozenset({"AUDIO", "TEXT"})


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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened the connection.

    Attributes:
        connection: The connection's id.
        key: The API key, empty if there was none.
        version: The API version in the path.
        backend: Whose API the path belongs to.
    """

    connection: str
    key: str
    version: str = "v1beta"
    backend: Backend = Backend.DEVELOPER


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
        self._held: list[ClientMessage] = []
        settings = shared.settings
        self._ends_at = now + settings.lifetime
        if settings.goaway_lead:
            self._agenda.at(self._ends_at - settings.goaway_lead, self._go_away)
        self._agenda.at(self._ends_at, self._expire)

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
                self._admit()
            self._take(wire.decode(frame, self._caller.backend), now)
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
        """The socket is closed, both ways: the handles of this session can be redeemed from now on."""
        self.phase = Phase.CLOSED
        if self._lineage is not None:
            self._shared.handles.closed(self._lineage, self._caller.connection, now)

    # Messages

    def _admit(self) -> None:
        if not self._caller.key:
            raise RefusedError(closes.KEY_MISSING)
        if self._caller.key == self._shared.settings.bad_key:
            raise RefusedError(closes.KEY_INVALID)

    def _take(self, message: ClientMessage, now: float) -> None:
        take = self._TAKES.get((self.phase, type(message)))
        if take is None:
            raise RefusedError(closes.INVALID_ARGUMENT)
        take(self, message, now)

    def _set_up(self, setup: Setup, now: float) -> None:
        handle = setup.resumption.handle if setup.resumption else None
        struck = self._mishaps.strike(Moment.RESUME if handle else Moment.SETUP, now)
        if self.phase is Phase.CLOSED:
            return
        profile = self._profile(setup)
        snapshot = self._shared.handles.redeem(handle, now) if handle else None
        if snapshot is not None and snapshot.model != setup.model:
            raise RefusedError(closes.INVALID_ARGUMENT)  # anything but the model may change at a resume [DOC]
        self._lineage = snapshot.lineage if snapshot else self._caller.connection
        self._shared.handles.opened(self._lineage, self._caller.connection)
        # Nothing says that the system instruction persists: it is this setup's, or there is none.
        context = _remaining(snapshot.context if snapshot else Context(), struck.loss).instructed(setup.instruction)
        self._emit(Began(Continued.HANDLE if snapshot else Continued.NEW, context))
        self._emit(Send(replies.setup_complete(self._lineage if self._caller.backend is Backend.VERTEX else None)))
        self._dialogue = self._begin(setup, profile, context)
        self._dialogue.bookmark(now)
        self.phase = Phase.HISTORY if setup.brings_history else Phase.OPEN
        self._mishaps.strike(Moment.RESUMED if snapshot else Moment.OPEN, now)

    def _profile(self, setup: Setup) -> Profile:
        profile = profiles.find(setup.model, self._caller.backend)
        if profile is None:
            raise RefusedError(closes.model_not_found(setup.model, self._caller.version))
        if not _MODALITIES.issuperset(setup.modalities) or ("TEXT" in setup.modalities and not profile.text_output):
            raise RefusedError(closes.INVALID_ARGUMENT)
        return profile

    def _begin(self, setup: Setup, profile: Profile, context: Context) -> Dialogue:
        around = Surroundings(
            self._shared.settings, self._shared.brain, self._agenda, self._emit, self._mishaps.strike, self._chance
        )
        if setup.resumption is None or self._lineage is None:
            return Dialogue(setup, profile, context, around, None)
        bookmarks = Bookmarks(around, self._shared.handles, self._lineage, setup.model)
        return Dialogue(setup, profile, context, around, bookmarks)

    def _emit(self, effect: Effect) -> None:
        """Add an effect; nothing follows the end."""
        if self.phase is Phase.CLOSED:
            return
        self._effects.append(effect)
        if isinstance(effect, End | Cut):
            self.phase = Phase.CLOSED

    def _hold(self, message: ClientMessage, _now: float) -> None:
        if len(self._held) >= HELD:
            raise RefusedError(closes.INVALID_ARGUMENT)
        self._held.append(message)

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
        for message in held:
            self._take(message, now)

    @property
    def _talk(self) -> Dialogue:
        if self._dialogue is None:
            raise RefusedError(closes.INVALID_ARGUMENT)
        return self._dialogue

    def _realtime(self, message: RealtimeInput, now: float) -> None:
        for item in message.items:
            self._talk.realtime(item, now)

    def _content(self, message: ClientContent, now: float) -> None:
        self._talk.content(message, now)

    def _update(self, message: ContextUpdate, _now: float) -> None:
        self._talk.update(message)

    def _tool_response(self, message: ToolResponse, now: float) -> None:
        self._talk.tool_results(message.responses, now)

    # Age

    def _go_away(self, due: float) -> None:
        if self.phase is not Phase.SETUP and not self._mishaps.strike(Moment.GO_AWAY, due).suppressed:
            self._emit(Send(replies.go_away(self._ends_at - due)))

    def _expire(self, _due: float) -> None:
        self.end(closes.LIFETIME)

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


def _remaining(context: Context, loss: Loss | None) -> Context:
    """What a false resume leaves of a context."""
    if loss is None:
        return context
    return Context(turns=tuple(turn for turn in context.turns if loss is Loss.AUDIO and turn.kind is not Kind.AUDIO))
