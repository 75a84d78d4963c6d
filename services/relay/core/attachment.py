"""What a relay is given when it attaches: where the conversation begins for it."""

from dataclasses import dataclass, field

from services.relay.core.capabilities import UNHINDERED, Capability
from services.relay.core.ledger import Ledger
from services.relay.core.model import Feedback, FeedbackPolicy, Turn, UpstreamHandle


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the store gave when this relay attached.

    Args:
        new: Nobody was ever attached before.
        turn_count: The newest stored turn.
        covered_seq: The newest client sequence number in the stored turns.
        handle: The newest upstream handle, if it is alive.
        uncovered: The stored turns that the handle does not cover; without a handle it stays empty.
        ledger: The newest stored ledger.
        instruction_characters: The length of the system instruction.
        tools_characters: The length of the tools' declarations, as JSON.
        capability: What the conversation's model allows.
        feedback: Advice that waits (at most one) or is in the context, oldest first.
        newest_feedback: The number of the newest item that was ever given; 0 where there is none, or nobody says.
        feedback_policy: What the conversation's agent asks for; None leaves it to the setting.
        volatile_tools: Names of tools whose answer does not keep.
        place: Of this conversation among all others, from 0 to 1: where what they all do is spread, it decides when.
    """

    new: bool
    turn_count: int = 0
    covered_seq: int = 0
    handle: UpstreamHandle | None = None
    uncovered: tuple[Turn, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    instruction_characters: int = 0
    tools_characters: int = 0
    capability: Capability = UNHINDERED
    feedback: tuple[Feedback, ...] = ()
    newest_feedback: int = 0
    feedback_policy: FeedbackPolicy | None = None
    volatile_tools: frozenset[str] = frozenset()
    place: float = 0.0
