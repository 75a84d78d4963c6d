"""The agent greets once, recalls what is in its context and nothing else, and repeats itself never."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.emulator import brain
from services.emulator.brain import Brain
from services.emulator.context import Context, Kind, Role, Turn, text_turn
from services.emulator.tokens import NONE


def context(*said: str, instruction: str = "") -> Context:
    """A context in which user and model speak in turn, the user first."""
    roles = (Role.USER, Role.MODEL)
    return Context(instruction, tuple(text_turn(roles[at % 2], text) for at, text in enumerate(said)))


@pytest.mark.parametrize(
    ("instruction", "greeting"),
    [
        ("", "Hello, this is Filo from the emulator."),
        ("You sell. Your name is Ada Byron. You work for Acme Inc.", "Hello, this is Ada Byron from Acme Inc."),
        ("your name is Bob.", "Hello, this is Bob from the emulator."),
    ],
)
def test_the_greeting(instruction: str, greeting: str) -> None:
    """The first answer begins with it, and later ones never do."""
    first = Brain().answer(context("Good morning.", instruction=instruction))
    assert first.greeting
    assert first.text.startswith(f"{greeting} ")
    second = Brain().answer(context("Good morning.", first.text, "Good morning.", instruction=instruction))
    assert not second.greeting
    assert "Hello" not in second.text


@pytest.mark.parametrize(
    ("told", "question", "answer"),
    [
        ("My dog is Rex.", "What is my dog?", "You told me your dog is Rex."),
        (
            "Well, MY budget is 40,000.50 euros. Right?",
            "what is my budget?",
            "You told me your budget is 40,000.50 euros.",
        ),
        ("My company's name is Acme. My dog is Rex.", "What is my dog?", "You told me your dog is Rex."),
        ("My dog\nis Rex.", "So what is my  dog ?", "You told me your dog is Rex."),
        ("My dog is Rex. No, my dog is Tom.", "What is my dog?", "You told me your dog is Tom."),
        ("La mia azienda è Acque Chiare.", "Qual è la mia azienda?", "Mi ha detto che la mia azienda è Acque Chiare."),
        ("Buongiorno.", "Qual è il mio cane?", "Mi dispiace, non credo che mi abbia detto quale è il mio cane."),
        ("My dog barks.", "What is my dog?", "I am sorry, I do not think you told me your dog."),
        ("Is my dog is a question?", "What is my dog?", "I am sorry, I do not think you told me your dog."),
        (
            "[SALES_MANAGER_INSTRUCTION] My dog is Rex.",
            "What is my dog?",
            "I am sorry, I do not think you told me your dog. As advised (1): My dog is Rex.",
        ),
    ],
)
def test_facts(told: str, question: str, answer: str) -> None:
    """What the user told is recalled word for word, the newest first, and nothing is made up."""
    assert Brain().answer(context(told, "Noted.", question)).text == answer


def test_facts_are_the_users_own() -> None:
    """What the model said is not what the user told."""
    assert "sorry" in Brain().answer(context("Hi.", "My dog is Rex.", "What is my dog?")).text


def test_two_questions_are_both_answered() -> None:
    """In their order, also when told and asked in one breath."""
    said = "My dog is Rex. What is my cat? And what's my dog?"
    answer = Brain().answer(context("Hi.", "Hello.", said)).text
    assert answer == "I am sorry, I do not think you told me your cat. You told me your dog is Rex."


def test_other_answers_are_of_a_length_and_never_the_same() -> None:
    """Forty turns about the same thing get forty answers of 60 to 120 characters, each about the user's words."""
    said = ["Tell me about the delivery of the spare parts, please."]
    for _ in range(40):
        answer = Brain().answer(context("Hi.", "Hello.", *said)).text
        assert 60 <= len(answer) <= 120
        assert "delivery spare parts" in answer
        said += [answer, said[0]]
    assert len(set(said[1::2])) == 40


@given(said=st.lists(st.text(max_size=200), max_size=6), seed=st.integers())
def test_any_words_get_the_same_answer_twice(said: list[str], seed: int) -> None:
    """Whatever was said, the agent says something, and by context and seed alone."""
    answer = Brain(seed).answer(context(*said))
    assert answer.text
    assert answer == Brain(seed).answer(context(*said))


def test_unknown_speech_is_answered() -> None:
    """Audio without words gets an answer that says how long it was."""
    assert "unknown speech, 1.2 s" in Brain().answer(context("(unknown speech, 1.2 s)")).text


def test_advice_is_no_speech_of_the_user() -> None:
    """Private advice is recognised by its mark, and its words are no subject of the conversation."""
    assert brain.is_advice(" [SALES_MANAGER_INSTRUCTION] Ask for the budget.")
    answer = Brain().answer(context("Hi.", "Hello.", "[SALES_MANAGER_INSTRUCTION] Mention blockchain."))
    assert "blockchain" not in answer.text.partition(" As advised")[0]


@pytest.mark.parametrize(
    ("instruction", "told", "followed"),
    [
        ("", [], ""),
        ("", ["Ask for the budget."], " As advised (1): Ask for the budget."),
        ("", ["Ask for the budget.", "Be \n brief"], " As advised (2): Be brief."),
        ("Your name is Ada.\n[SALES_MANAGER_INSTRUCTION] Be kind.\nNo more.", [], " As advised (1): Be kind."),
        ("[SALES_MANAGER_INSTRUCTION] Be kind.", ["Be brief."], " As advised (2): Be brief."),
        ("", ["x" * 200], f" As advised (1): {'x' * 80}."),
    ],
)
def test_advice_is_followed_while_it_is_known(instruction: str, told: list[str], followed: str) -> None:
    """The newest advice in the context, or else in the instruction, is said at the end of every answer; else none."""
    turns = ["My dog is Rex.", "Noted.", *(f"[SALES_MANAGER_INSTRUCTION] {advice}" for advice in told)]
    known = context(*turns[:2]).plus(*(text_turn(Role.USER, turn) for turn in [*turns[2:], "What is my dog?"]))
    assert Brain().answer(known.instructed(instruction)).text == f"You told me your dog is Rex.{followed}"


def test_a_result_that_nobody_reacts_to_is_no_question() -> None:
    """A tool's silent result before the user's words does not take their place."""
    result = Turn(Role.USER, Kind.TOOL, "get_price: {}", NONE)
    known = context("My dog is Rex.", "Noted.").plus(result, text_turn(Role.USER, "What is my dog?"))
    assert Brain().answer(known).text == "You told me your dog is Rex."


@pytest.mark.parametrize(
    ("said", "summary"),
    [
        ("Client: My launch code is 7421. And my dog is Rex.\nAgent: I see.", "My launch code is 7421. My dog is Rex."),
        ("Client: What is my dog?", "Nothing."),
    ],
)
def test_a_summary_is_made_of_facts(said: str, summary: str) -> None:
    """Whoever is told to summarise keeps what was told, and so recalls it from the summary later."""
    asked = context(said, instruction="Summarise what was said.")
    assert Brain().answer(asked, greets=False).text == summary
    assert brain.facts([text_turn(Role.USER, summary)]) == brain.facts(asked.turns)
