"""A prospect in Gemini's words: the script decides what a turn is for, a text model says it.

Facts are told and asked for in the script's own words, since the checks look for them; everything else may be worded
freely. A line that was said before, or that could be taken for a fact, is said as the script has it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from services.simulator.persona import Persona
from services.simulator.prospect import Line
from services.simulator.record import Turn
from services.simulator.textmodel import TextModel

REMEMBERED: Final = 12
"""Turns of the talk that the model is shown."""
LONGEST: Final = 400
"""Characters of a line."""


class Improvisation:
    """Words lines anew.

    Args:
        persona: Who speaks.
        model: Answers prompts.
        name: The model's name.
    """

    def __init__(self, persona: Persona, model: TextModel, name: str) -> None:
        self._persona = persona
        self._model = model
        self._name = name

    async def word(self, line: Line, turns: Sequence[Turn]) -> Line:
        """The same line in other words, where it may have any. Safe to cancel.

        Args:
            line: What the script says.
            turns: The talk so far.

        Raises:
            TextModelError: The model gave no answer.
        """
        if not line.chat:
            return line
        answer = await self._model.answer(self._name, self._instruction(), _prompt(line, turns[-REMEMBERED:]))
        said = " ".join(answer.split())[:LONGEST]
        known = {turn.prospect for turn in turns}
        if not said or said in known or self._persona.tongue.fact_shaped.search(said):
            return line
        return replace(line, text=said, chat=said)

    def _instruction(self) -> str:
        who = self._persona.identity
        goals = "\n".join(f"- {goal}" for goal in self._persona.goals)
        return (
            f"You are {who['name']}, {who['role']} at {who['company']}, on the telephone with a sales agent. "
            f"{self._persona.character}\nWhat you want:\n{goals}\n"
            "Say only your next line, in one to three sentences, in the language of the line you are given. "
            "Never say what your name, company or anything else of yours is, and never ask the agent what it remembers."
        )


def _prompt(line: Line, turns: Sequence[Turn]) -> str:
    talk = "\n".join(f"You: {turn.prospect}\nAgent: {turn.agent}" for turn in turns)
    return f"The talk so far:\n{talk}\n\nThe talk is in its phase '{line.phase}'. Say this in your own way: {line.chat}"
