"""A sales manager who is a Gemini text model; and who is hired for a run."""

from collections.abc import Sequence
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.manager import Manager, RulesManager
from services.simulator.record import Turn
from services.simulator.textmodel import TextModel

REMEMBERED: Final = 12
"""Turns of the talk that the model is shown."""
LONGEST: Final = 2_000
"""Characters of its advice."""
NOTHING: Final = "NONE"
"""What it says when it has nothing to say."""

_INSTRUCTION: Final = (
    "You are the sales manager of the agent in a telephone call with a prospect. After each turn you may give the "
    "agent one piece of private advice for its next turn: one or two sentences, in the language of the call, about "
    "what to say, to ask or to leave out. The prospect never sees it. Do not repeat yourself. Say only the advice, or "
    f"{NOTHING} if the agent is doing well."
)


class ModelManager:
    """A Gemini text model.

    Args:
        model: Answers prompts.
        name: The model's name.
    """

    def __init__(self, model: TextModel, name: str) -> None:
        self._model = model
        self._name = name

    async def advise(self, turns: Sequence[Turn]) -> str:
        """Advice for the turn after these."""
        talk = "\n".join(f"Prospect: {turn.prospect}\nAgent: {turn.agent}" for turn in turns[-REMEMBERED:])
        given = "\n".join(f"- {turn.advice}" for turn in turns[-REMEMBERED:] if turn.advice)
        prompt = (
            f"The call so far:\n{talk}\n\nYour advice so far:\n{given or '- none'}\n\nYour advice for the next turn:"
        )
        answer = await self._model.answer(self._name, _INSTRUCTION, prompt)
        said = " ".join(answer.split())[:LONGEST]
        return "" if said.strip(". ").upper() == NOTHING else said


def hired(spec: pb.RunSpec, rules: RulesManager, model: TextModel | None) -> Manager | None:
    """Who reads along in a run; None for nobody.

    Args:
        spec: The run's, complete.
        rules: The rules that its documents name.
        model: What answers prompts, if there is anything.
    """
    if spec.manager == pb.MANAGER_KIND_GEMINI and model is not None:
        return ModelManager(model, spec.text_model)
    return rules if spec.manager == pb.MANAGER_KIND_RULES else None
