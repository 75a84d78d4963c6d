"""What each model allows, as far as the relay's decisions depend on it: data.

A model is looked up by the longest name in the table that its own begins with, so that dated previews and ``-latest``
need no row. An unknown model gets the last row, the one that is safe everywhere: it is never sent content in
mid-session, and its context is rebuilt through initial history, which is documented for every model.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Capability:
    """One row.

    Args:
        model: What the model's name begins with, without ``models/``.
        mid_session_content: Turns may be sent as content after a resume; otherwise the session is rebuilt.
        window: The context window in tokens; what compression does follows from it.
        evidence: Where it comes from.
    """

    model: str
    mid_session_content: bool
    window: int
    evidence: str


CAPABILITIES: Final[tuple[Capability, ...]] = (
    Capability("gemini-2.5-flash-native-audio", mid_session_content=True, window=128_000, evidence="documented"),
    Capability("gemini-live-2.5-flash-native-audio", mid_session_content=True, window=128_000, evidence="documented"),
    Capability("gemini-live-2.5-flash", mid_session_content=True, window=32_000, evidence="documented"),
    Capability("gemini-2.0-flash-live", mid_session_content=True, window=32_000, evidence="documented"),
    Capability(
        "gemini-3.1-flash-live",
        mid_session_content=False,
        window=128_000,
        evidence="closes with 1007 on any clientContent in mid-session (observed); the window is assumed",
    ),
    Capability("gemini-3.8-live", mid_session_content=True, window=128_000, evidence="assumed"),
    Capability("", mid_session_content=False, window=32_000, evidence="unknown model: what is safe everywhere"),
)


UNHINDERED: Final = Capability("", mid_session_content=True, window=0, evidence="nothing is known that would hinder")
"""A model that allows everything, and whose window is not known."""


def capability(model: str) -> Capability:
    """The row of a model, named as in ``setup.model``, whatever path is before its name."""
    name = model.rpartition("/")[2]
    return max((row for row in CAPABILITIES if name.startswith(row.model)), key=lambda row: len(row.model))
