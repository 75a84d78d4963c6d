"""How a client changes the context from outside: by content, and by what it says about the instruction."""

from collections.abc import Iterable

from services.emulator import closes
from services.emulator.closes import RefusedError
from services.emulator.context import Context
from services.emulator.messages import ContentTurn
from services.emulator.profiles import Instruction


def with_content(context: Context, turns: Iterable[ContentTurn], system_role: Instruction) -> Context:
    """The context after these turns; one of role ``system`` is treated as the model's profile says.

    Raises:
        RefusedError: The model takes none of role ``system``.
    """
    for turn in turns:
        instructs = turn.role is None
        context = with_instruction(context, turn.text, system_role) if instructs else context.plus(*turn.pieces)
    return context


def with_instruction(context: Context, instruction: str | None, rule: Instruction) -> Context:
    """The context after an attempt to change the instruction; None leaves it as it is.

    Raises:
        RefusedError: The model refuses the attempt.
    """
    if rule is Instruction.REFUSED:
        raise RefusedError(closes.INVALID_ARGUMENT)
    if rule is Instruction.IGNORED or instruction is None:
        return context
    return context.instructed(instruction)
