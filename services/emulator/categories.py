"""What tokens of a context are for: the truth that a ledger elsewhere can only estimate.

=============  =====================================================================================================
instruction    the system instruction, but for advice in it
user           what the user said, showed or typed, live or as history
model          what the model said
feedback       advice: a piece of text that begins with the sales manager's mark, and in the instruction from the
               mark to the end of its line
tools          the declarations, the calls and their results
=============  =====================================================================================================

Every token is in one category, and all of them together are the prompt.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from services.emulator import brain, tokens
from services.emulator.context import SPOKEN, Context, Kind, Role, Turn
from services.emulator.tokens import Tokens


class Category(StrEnum):
    """What tokens are for."""

    INSTRUCTION = "instruction"
    USER = "user"
    MODEL = "model"
    FEEDBACK = "feedback"
    TOOLS = "tools"


Split = Mapping[Category, Tokens]
"""What each category costs; one that is not there costs nothing."""

_NONE: Final = tokens.NONE
_OF_ROLE: Final[Mapping[Role, Category]] = {Role.USER: Category.USER, Role.MODEL: Category.MODEL}


def of_turn(turn: Turn) -> Category:
    """What a piece of the context is."""
    if turn.kind is Kind.TOOL:
        return Category.TOOLS
    if turn.kind in SPOKEN and brain.is_advice(turn.text):
        return Category.FEEDBACK
    return _OF_ROLE[turn.role]


def split(context: Context) -> Split:
    """What each category of a context costs; all together cost what the context does."""
    whole = tokens.of_text(context.instruction).text
    advice = min(whole, tokens.of_text("".join(brain.advice_lines(context.instruction))).text)
    costs: defaultdict[Category, Tokens] = defaultdict(Tokens)
    costs[Category.INSTRUCTION] += Tokens(text=whole - advice)
    costs[Category.FEEDBACK] += Tokens(text=advice)
    costs[Category.TOOLS] += tokens.of_text(context.tools)
    for turn in context.turns:
        costs[of_turn(turn)] += turn.tokens
    return dict(costs)


def added(one: Split, other: Split) -> Split:
    """Both together."""
    return {name: one.get(name, _NONE) + other.get(name, _NONE) for name in one.keys() | other.keys()}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model was given for one answer, and what that was made of.

    Attributes:
        tokens: All of it.
        cached: The part that a prefix cache held.
        split: The same by category.
    """

    tokens: Tokens = _NONE
    cached: Tokens = _NONE
    split: Split = field(default_factory=dict)

    def __add__(self, other: "Prompt") -> "Prompt":
        """Both together, as they are billed."""
        return Prompt(self.tokens + other.tokens, self.cached + other.cached, added(self.split, other.split))


def prompt(context: Context, cached: Tokens) -> Prompt:
    """The context as a prompt, of which a cache held that much."""
    return Prompt(context.tokens, cached, split(context))
