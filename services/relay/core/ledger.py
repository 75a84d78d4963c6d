"""Context tokens by category, and what was billed.

Gemini tells one number a turn, the size of the whole prompt; it is the truth. Where it went is read from differences:
what the prompt grew by since the last turn, less the last answer, is what the user said. The first prompt holds the
instruction besides, whose share is estimated from its length. When a prompt shrinks (compression, a rebuilt session)
user and model shrink in proportion, since the instruction stays.
"""

from dataclasses import dataclass, replace
from typing import Final

from services.relay.core.model import Usage

CHARACTERS_A_TOKEN: Final = 4
"""Google's own rule of thumb for English text: https://ai.google.dev/gemini-api/docs/tokens"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Tokens of one conversation; immutable.

    Args:
        context: The newest turn's prompt and answer.
        billed: Prompts and answers of all turns.
        instruction: Of the context: the system instruction.
        user: Of the context: what the client said.
        model: Of the context: what the agent said.
        usage: The newest turn's own, to judge the next resume by.
    """

    context: int = 0
    billed: int = 0
    instruction: int = 0
    user: int = 0
    model: int = 0
    usage: Usage | None = None

    def count(self, usage: Usage, instruction_characters: int) -> "Ledger":
        """The ledger after a turn with this usage."""
        billed = self.billed + usage.prompt + usage.response
        if not self.context:
            before = replace(self, instruction=min(usage.prompt, instruction_characters // CHARACTERS_A_TOKEN))
        else:
            before = self._shrunk_to(usage.prompt)
        said = usage.prompt - before.instruction - before.user - before.model
        return Ledger(
            context=usage.prompt + usage.response,
            billed=billed,
            instruction=before.instruction,
            user=before.user + said,
            model=before.model + usage.response,
            usage=usage,
        )

    def _shrunk_to(self, prompt: int) -> "Ledger":
        if prompt >= self.context:
            return self
        instruction = min(self.instruction, prompt)
        talk, room = self.user + self.model, prompt - instruction
        user = self.user * room // talk if talk else 0
        return replace(self, instruction=instruction, user=user, model=room - user if talk else 0)
