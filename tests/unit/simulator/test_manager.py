"""Sales managers: what they say, and when."""

import pytest

from services.simulator import manager
from services.simulator.documents import DocumentError
from services.simulator.manager import Condition
from services.simulator.modelmanager import ModelManager
from services.simulator.record import Turn
from services.simulator.textmodel import TextModel

RULES = """
name: test
rules:
  - when: {words: [price, Kosten], phase: objections}
    advice: ["{turn}: price in an objection"]
  - when: {agent_words: [discount]}
    advice: ["{turn}: no discount"]
  - when: {every: 3, from: 6}
    advice: ["{turn}: first", "{turn}: second"]
"""


def turn(number: int, prospect: str = "Hello.", phase: str = "discovery", agent: str = "Yes.") -> Turn:
    """A completed turn."""
    return Turn(number, prospect, phase=phase, agent=agent, deliveries=1)


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        (Condition(), True),
        (Condition(phase="demo"), True),
        (Condition(phase="discovery"), False),
        (Condition(words=("cost", "price")), True),
        (Condition(words=("rice",)), False),
        (Condition(agent_words=("pilot",)), True),
        (Condition(agent_words=("price",)), False),
        (Condition(every=4), True),
        (Condition(every=3), False),
        (Condition(since=8), True),
        (Condition(since=9), False),
        (Condition(phase="demo", words=("cost",)), False),
    ],
)
def test_a_rule_fits_when_all_of_it_is_true(condition: Condition, *, fits: bool) -> None:
    """Words are whole words in any case."""
    assert condition.fits(turn(8, "And the PRICE?", "demo", "A pilot is free.")) is fits


@pytest.mark.parametrize(
    ("word", "said", "fits"),
    [("10%", "A 10% discount?", True), ("C++", "We use C++ here.", True), ("price?", "The price?", True),
     ("10%", "A 110% effort.", False)],
)  # fmt: skip
def test_a_word_may_begin_or_end_with_a_sign(word: str, said: str, fits: bool) -> None:  # noqa: FBT001
    """It is whole where no letter or digit is next to it."""
    assert Condition(words=(word,)).fits(Turn(1, prospect=said)) is fits


async def test_the_first_rule_that_fits_speaks() -> None:
    """About the newest turn, for the one after it; its advice in order, over and over; else there is silence."""
    rules = manager.parse(RULES, "test.yaml")
    said = [
        turn(1, "What is the price?"),
        turn(2, "The price is too high.", "objections", "A discount?"),
        turn(3, agent="A Discount!"),
        *(turn(number) for number in range(4, 13)),
    ]
    spoken = [await rules.advise(said[:number]) for number in range(1, len(said) + 1)]
    assert spoken == [
        "",
        "3: price in an objection",
        "4: no discount",
        "",
        "",
        "7: first",
        "",
        "",
        "10: second",
        "",
        "",
        "13: first",
    ]


@pytest.mark.parametrize("name", manager.shipped())
async def test_shipped_rules_can_be_told_apart(name: str) -> None:
    """Whatever is said begins differently in each turn, so that a report can tell what was followed."""
    rules = manager.load(name)
    talk = [turn(number, "The price.", "objections") for number in range(1, 41)]
    spoken = [await rules.advise(talk[:number]) for number in range(1, 41)]
    openings = [text[:60] for text in spoken if text]
    assert len(openings) >= 20
    assert len(set(openings)) == len(openings)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("[]", "must be a mapping"),
        ("name: x", "rules: must be a list with at least one item"),
        ("name: x\nrules:\n- {advice: [a], then: b}", "rules[0].then: is not a field"),
        ("name: x\nrules:\n- {when: {every: 0}, advice: [a]}", "rules[0].when.every: must be a whole number"),
        ("name: x\nrules:\n- {when: {word: [a]}, advice: [a]}", "rules[0].when.word: is not a field"),
        ("name: x\nrules:\n- {when: {every: 2}, advice: []}", "rules[0].advice: must be a list"),
    ],
)
def test_what_is_wrong_with_rules_is_told(document: str, problem: str) -> None:
    """With its place."""
    with pytest.raises(DocumentError, match=r"x\.yaml") as caught:
        manager.parse(document, "x.yaml")
    assert any(problem in line for line in caught.value.lines), caught.value.lines


class Words(TextModel):
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: str) -> None:
        super().__init__("key")
        self._answer = answer
        self.prompts: list[str] = []

    async def answer(self, model: str, instruction: str, prompt: str, schema: dict[str, object] | None = None) -> str:
        """The same each time."""
        assert (model, schema) == ("gemini-x", None)
        assert "sales manager" in instruction
        self.prompts.append(prompt)
        return self._answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [("Ask for\nthe date. ", "Ask for the date."), ("NONE", ""), (" none.", ""), ("x" * 3000, "x" * 2000)],
)
async def test_a_model_sees_the_talk_and_its_own_advice(answer: str, said: str) -> None:
    """The newest turns of it; it may have nothing to say, and is cut when it says too much."""
    model = Words(answer)
    talk = [turn(number, f"question {number}", agent=f"answer {number}") for number in range(1, 21)]
    talk[18].advice = "Be brief."
    assert await ModelManager(model, "gemini-x").advise(talk) == said
    (prompt,) = model.prompts
    assert "question 9" in prompt
    assert "question 8" not in prompt
    assert prompt.index("question 19") < prompt.index("answer 20")
    assert "- Be brief." in prompt
