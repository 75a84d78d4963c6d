"""How a connection and its session grow old: goAway, then the end.

Two limits run beside each other. A *connection* lives as long as its model's profile says, or the settings. A
*session*, over all its connections, lives 15 minutes without compression and 2 with video [DOC], and for ever with it.
"""

from collections.abc import Callable
from typing import Final

from services.emulator import closes, profiles, replies
from services.emulator.agenda import Agenda, Step
from services.emulator.config import Settings
from services.emulator.effects import Effect, End, Send
from services.emulator.faults import Moment
from services.emulator.mishaps import Struck
from services.emulator.profiles import Lifetime, Profile

_CONNECTION: Final = "age of the connection"
_SESSION: Final = "age of the session"
_LEAD_SHARE: Final = 0.25
"""The model's own lead is at most this share of a lifetime that a setting has made short."""


class Age:
    """The age of one connection, and of the session it carries.

    Args:
        opened: When the connection was opened, in monotonic seconds.
        settings: What overrides the models' own lifetimes.
        agenda: Where the ends are planned.
        emit: Takes the effects.
        strike: Told that goAway is due.
    """

    def __init__(
        self,
        opened: float,
        settings: Settings,
        agenda: Agenda[Step],
        emit: Callable[[Effect], None],
        strike: Callable[[Moment, float], Struck],
    ) -> None:
        self._opened = opened
        self._settings = settings
        self._agenda = agenda
        self._emit = emit
        self._strike = strike
        self._ends_at = opened + self._seconds(profiles.TEN_MINUTES)
        self._session_began: float | None = None
        agenda.at(self._ends_at, lambda _: emit(End(closes.LIFETIME)), _CONNECTION)

    def settle(self, profile: Profile, ended: Callable[[Lifetime], None]) -> None:
        """The connection's model is known; `ended` is told when its life is over, before the close."""
        long_lived = self._settings.long_lived and profile.long_lifetime
        lifetime = long_lived or profile.lifetime
        seconds, lead = self._seconds(lifetime), self._settings.goaway_lead
        if lead is None:
            lead = min(lifetime.goaway_lead, seconds * _LEAD_SHARE)
        self._ends_at = self._opened + seconds
        self._agenda.cancel(_CONNECTION)
        if lead:
            self._agenda.at(self._ends_at - lead, self._go_away, _CONNECTION)

        def end(_due: float) -> None:
            ended(lifetime)
            self._emit(End(lifetime.close))

        self._agenda.at(self._ends_at, end, _CONNECTION)

    def limit_session(self, began: float) -> None:
        """The session, which began at that time, is not compressed: it will end."""
        self._session_began = began
        self._end_session(began + self._settings.session_audio)

    def saw_video(self) -> None:
        """The session has video from now on."""
        if self._session_began is not None:
            self._agenda.cancel(_SESSION)
            self._end_session(self._session_began + self._settings.session_video)
            self._session_began = None

    def _end_session(self, due: float) -> None:
        self._agenda.at(due, lambda _: self._emit(End(closes.SESSION_LIMIT)), _SESSION)

    def _seconds(self, lifetime: Lifetime) -> float:
        return lifetime.seconds if self._settings.lifetime is None else self._settings.lifetime

    def _go_away(self, due: float) -> None:
        if not self._strike(Moment.GO_AWAY, due).suppressed:
            self._emit(Send(replies.go_away(self._ends_at - due)))
