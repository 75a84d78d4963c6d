"""Advice that the agent has got."""

from dataclasses import dataclass
from typing import NamedTuple

from services.relay.core.model import Feedback


@dataclass(slots=True)
class Delivered:
    """An item that the agent has got.

    Args:
        feedback: The item.
        in_instruction: Where it is.
        held: The context in use holds it.
        by: What takes it out.
        stuck: It was taken out of the instruction, and the usage did not show that.
    """

    feedback: Feedback
    in_instruction: bool
    held: bool = True
    by: str = ""
    stuck: bool = False

    @property
    def turn(self) -> int:
        """Which it serves."""
        return self.feedback.turn

    @property
    def tokens(self) -> int:
        """In the context."""
        return self.feedback.tokens


class Delivery(NamedTuple):
    """An item is delivered.

    Args:
        item: It.
        instead: Live items in whose place it comes; no turn was answered with them.
    """

    item: Delivered
    instead: tuple[Delivered, ...] = ()
