"""What to do when Gemini closes a connection, or refuses one: one table, with its evidence.

The public integrations disagree on nearly every row. The first row that fits decides; the last one fits everything. A
reason is compared in lower case and by fragment, because Google cuts it to 123 bytes and words it differently over
time.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

UNSAID: Final = 1006
"""A cut, or a connection that could not be made: nobody said why."""


class Decision(StrEnum):
    """What the conversation does next."""

    RESUME = "resume"
    FRESH = "fresh"
    FATAL = "fatal"


class Situation(StrEnum):
    """Where the connection stood."""

    NEW = "new"
    """Begun without a handle; it has not completed a turn."""
    RESUMING = "resuming"
    """Begun with a handle; its setup was not completed."""
    LIVE = "live"
    """In use."""


@dataclass(frozen=True, slots=True)
class Row:
    """One rule.

    Args:
        decision: What to do.
        evidence: Where it comes from.
        codes: Close codes it fits; empty for all.
        fragments: Any of these in the reason, in lower case; empty for all.
        situations: Where the connection stood; empty for all.
        refusals: Fits from this many refused resumes in a row on.
    """

    decision: Decision
    evidence: str
    codes: frozenset[int] = frozenset()
    fragments: tuple[str, ...] = ()
    situations: frozenset[Situation] = frozenset()
    refusals: int = 0

    def fits(self, code: int, reason: str, situation: Situation, refusals: int) -> bool:
        """Whether this row decides the case; `reason` in lower case."""
        return (
            (not self.codes or code in self.codes)
            and (not self.fragments or any(fragment in reason for fragment in self.fragments))
            and (not self.situations or situation in self.situations)
            and refusals >= self.refusals
        )


_OPENING_RESUMED: Final = frozenset({Situation.RESUMING})
_OPENING_NEW: Final = frozenset({Situation.NEW})

ROWS: Final[tuple[Row, ...]] = (
    Row(
        Decision.FATAL,
        "the key is refused; no attempt helps (observed)",
        frozenset({1007, 1008}),
        ("api key not valid", "api key expired", "unregistered callers", "permission denied"),
    ),
    Row(
        Decision.FRESH,
        "the handle is dead; the session behind it is gone (observed: python-genai #985)",
        frozenset({1008}),
        ("session not found", "requested entity was not found"),
    ),
    Row(
        Decision.FATAL,
        "the model is unknown or cannot do what the setup asks (observed)",
        frozenset({1007, 1008}),
        ("is not found for api version", "model not found", "not supported for bidigeneratecontent", "not implemented"),
    ),
    Row(
        Decision.RESUME,
        "quota; the wait grows with each attempt (documented)",
        fragments=("quota", "resource_exhausted"),
    ),
    Row(
        Decision.FATAL,
        "a fresh session refuses the setup or what was sent first: nothing is left to try (observed)",
        frozenset({1007}),
        situations=_OPENING_NEW,
    ),
    Row(
        Decision.FRESH,
        "a bad message, or a context that is poisoned after a resume; once, fresh (observed: livekit/agents #4545)",
        frozenset({1007}),
    ),
    Row(
        Decision.RESUME,
        "the connection's lifetime is over and nobody closed it in time (observed)",
        frozenset({1008}),
        ("goaway",),
    ),
    Row(
        Decision.FRESH,
        "three resumes refused, not only because the old socket was still open: the handle is not worth more",
        frozenset({1008, 1011}),
        situations=_OPENING_RESUMED,
        refusals=3,
    ),
    Row(
        Decision.RESUME,
        "the service failed, or the old socket is still open right after a resume (observed: python-genai #2290)",
        frozenset({1011}),
    ),
    Row(
        Decision.RESUME,
        "the service failed, in other words (observed)",
        frozenset({1008}),
        ("the operation was aborted",),
    ),
    Row(
        Decision.FATAL,
        "a fresh session breaks a rule that we do not know (assumed)",
        frozenset({1008}),
        situations=_OPENING_NEW,
    ),
    Row(Decision.RESUME, "limit, restart, network (documented), and whatever is not known"),
)


def classify_upstream_close(code: int, reason: str, situation: Situation, refusals: int = 0) -> Decision:
    """What to do after an upstream close.

    Args:
        code: The close code; 1006 for a cut or a connection that could not be made.
        reason: The reason in the close frame.
        situation: Where the connection stood.
        refusals: Resumes from this handle that were refused in a row, this one included.
    """
    lowered = reason.lower()
    return next(row.decision for row in ROWS if row.fits(code, lowered, situation, refusals))
