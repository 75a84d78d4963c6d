"""What was said before the history that a rebuilt session is told, in a few words of a Gemini text model.

It is asked beside the conversation, before a connection is replaced; what it has not summarised yet is told in full. A
summary grows by what the next turns add to it, so that each turn is read once.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from services.relay.core.model import Turn

MARK: Final = "[CONVERSATION_SUMMARY]"
"""What tells the agent that it is not the client who speaks."""
INSTRUCTION: Final = (
    "Summarise the beginning of a conversation between a client and an agent, for the agent, who has forgotten it. "
    "Keep every fact about the client word for word: names, numbers, wishes, objections, what was promised. Leave out "
    "courtesies. Write at most 200 words, in the language of the conversation, and nothing besides the summary."
)

Ask = Callable[[str], Awaitable[str]]
"""Gives the model's answer to a prompt; may raise `SummaryError`."""


class SummaryError(Exception):
    """The model gave no answer; the text says why."""


def prompt(before: str, turns: Iterable[Turn]) -> str:
    """What the model is asked.

    Args:
        before: The summary of what came before these turns; empty where nothing did.
        turns: In order.
    """
    known = [f"So far: {before}"] if before else []
    said = [
        f"{who}: {words}"
        for turn in turns
        for who, words in (("Client", turn.user_text), ("Agent", turn.agent_text))
        if words
    ]
    return "\n".join((*known, *said))


def as_turn(summary: str) -> Turn:
    """A summary as the first turn of a history."""
    return Turn(0, f"{MARK} {summary}", "")
