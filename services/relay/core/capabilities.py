"""What each model allows, as far as the relay's decisions depend on it: data.

A model is looked up by the longest name in the table that its own begins with, so that dated previews and ``-latest``
need no row. An unknown model gets the last row, the one that is safe everywhere: it is never sent content in
mid-session, and its context is rebuilt through initial history, which is documented for every model.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Backend(StrEnum):
    """Whose API it is."""

    DEVELOPER = "developer"
    VERTEX = "vertex"


class Channel(StrEnum):
    """How words that the client has not said reach the model in the middle of a session."""

    CONTENT = "content"
    """``clientContent`` of role user, ``turnComplete`` false: asks for no answer, and stays in the context."""
    TEXT = "text"
    """``realtimeInput.text``: accepted everywhere, but may be answered at once; so it goes with the client's words."""
    CONTEXT_UPDATE = "context_update"
    """``contextUpdate.systemInstruction``: replaces the system instruction."""
    SYSTEM_ROLE = "system_role"
    """``clientContent`` of role system: replaces the system instruction."""


@dataclass(frozen=True, slots=True)
class Capability:
    """One row.

    Args:
        model: What the model's name begins with, without ``models/``.
        backend: Where.
        window: The context window in tokens; what compression does follows from it.
        advice: How advice is brought into the talk: as content, where the model takes any in mid-session.
        instruction: How the system instruction is replaced in mid-session; None where it cannot be.
        evidence: Where it comes from.
    """

    model: str
    backend: Backend
    window: int
    advice: Channel
    instruction: Channel | None
    evidence: str

    @property
    def mid_session_content(self) -> bool:
        """Whether turns may be sent as content after a resume; otherwise the session is rebuilt."""
        return self.advice is Channel.CONTENT


_D, _V = Backend.DEVELOPER, Backend.VERTEX
_CONTENT, _TEXT = Channel.CONTENT, Channel.TEXT
_UPDATE, _SYSTEM = Channel.CONTEXT_UPDATE, Channel.SYSTEM_ROLE
_NO_CONTENT: Final = "closes with 1007 on any clientContent in mid-session (observed); the window is assumed"
_NO_UPDATE: Final = "documented; role system and contextUpdate close with 1007 (observed)"
_IGNORED: Final = "documented; role system closes with 1007, contextUpdate is ignored (observed)"
_ROLE: Final = "documented: a turn of role system replaces the instruction"

CAPABILITIES: Final[tuple[Capability, ...]] = (
    Capability("gemini-2.5-flash-native-audio", _D, 128_000, _CONTENT, None, _NO_UPDATE),
    Capability("gemini-live-2.5-flash-native-audio", _D, 128_000, _CONTENT, None, _NO_UPDATE),
    Capability("gemini-live-2.5-flash", _D, 32_000, _CONTENT, None, _IGNORED),
    Capability("gemini-2.0-flash-live", _D, 32_000, _CONTENT, None, _IGNORED),
    Capability("gemini-3.1-flash-live", _D, 128_000, _TEXT, None, _NO_CONTENT),
    Capability("gemini-3.8-live", _D, 128_000, _CONTENT, None, f"window assumed; {_IGNORED}"),
    Capability("gemini-2.5-flash-native-audio", _V, 128_000, _CONTENT, _SYSTEM, _ROLE),
    Capability("gemini-live-2.5-flash-native-audio", _V, 128_000, _CONTENT, _SYSTEM, _ROLE),
    Capability("gemini-live-2.5-flash", _V, 32_000, _CONTENT, _SYSTEM, _ROLE),
    Capability("gemini-2.0-flash-live", _V, 32_000, _CONTENT, _SYSTEM, _ROLE),
    Capability("gemini-3.1-flash-live", _V, 128_000, _TEXT, None, f"as on the Developer API: {_NO_CONTENT}"),
    Capability("gemini-3.8-live", _V, 128_000, _CONTENT, _UPDATE, "contextUpdate works (documented, observed)"),
    Capability("", _D, 32_000, _TEXT, None, "unknown model: what is safe everywhere"),
    Capability("", _V, 32_000, _TEXT, None, "unknown model: what is safe everywhere"),
)


UNHINDERED: Final = Capability("", _D, 0, _CONTENT, _UPDATE, "nothing is known that would hinder")
"""A model that allows everything, and whose window is not known."""


def capability(model: str, backend: Backend = Backend.DEVELOPER) -> Capability:
    """The row of a model, named as in ``setup.model``, whatever path is before its name."""
    name = model.rpartition("/")[2]
    rows = (row for row in CAPABILITIES if row.backend is backend and name.startswith(row.model))
    return max(rows, key=lambda row: len(row.model))
