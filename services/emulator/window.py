"""The context window: what happens when the context grows."""

from typing import Final

from services.emulator import closes
from services.emulator.closes import RefusedError
from services.emulator.context import Context, compress
from services.emulator.messages import Compression

TRIGGER: Final = 0.8
"""Share of the window at which compression begins, unless the setup says otherwise [DOC]."""


def fitted(context: Context, window: int, wanted: Compression | None) -> Context:
    """The context as the model sees it: compressed when it has passed the trigger, if the setup wants compression.

    Args:
        context: As it is.
        window: Its limit in tokens.
        wanted: The setup's compression; None for none.

    Raises:
        RefusedError: It does not fit the window.
    """
    if wanted is not None:
        trigger = round(window * TRIGGER) if wanted.trigger is None else wanted.trigger
        if context.tokens.total > trigger:
            context = compress(context, trigger // 2 if wanted.target is None else wanted.target)
    if (total := context.tokens.total) > window:
        raise RefusedError(closes.context_overflow(total, window))
    return context
