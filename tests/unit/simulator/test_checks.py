"""Each check catches its defect, planted in an account that is otherwise sound, and is silent without it."""

import re
from dataclasses import replace

import pytest
from msgspec import structs

from services.common import voice
from services.simulator import account, checks
from services.simulator.account import Account, AccountError, Piece
from services.simulator.checks import Held
from services.simulator.record import Turn, said_in

LINES = (
    "Thank you for the call. My company is Brightwater.",
    "We grow. My team size is forty two people.",
    "Tell me about reports.",
    "What is my company?",
    "I ask for the 2nd time. What is my company?",
    "What is my team size?",
)
ANSWERS = (
    "Hello, this is Ada from Northwind. Noted.",
    "Good.",
    "Reports are easy.",
    "You told me your company is Brightwater.",
    "Your company is BRIGHTWATER, I know.",
    "You told me your team size is forty  two people.",
)
TOLD = re.compile(r"My (.+?) is (.+?)\.")
ASKED = re.compile(r"What is my (.+?)\?")
VALUES = {"company": "Brightwater", "team size": "forty two people"}


def talk() -> list[Turn]:
    """Six turns that went well."""
    turns, first = [], 0
    for number, (said, heard) in enumerate(zip(LINES, ANSWERS, strict=True), start=1):
        frames = range(first, first := first + voice.frame_count(said))
        made = Turn(number, said, "demo", heard, deliveries=1, frames=frames, last_input=first)
        made.told, made.asked = dict(TOLD.findall(said)), {phrase: VALUES[phrase] for phrase in ASKED.findall(said)}
        turns.append(made)
    return turns


def spoken(turn: Turn) -> Piece:
    """A turn as it stands in the context, in audio."""
    return Piece("user", "audio", turn.prospect, ((turn.frames.start, turn.frames.stop - 1),))


def written(*turns: Turn) -> Piece:
    """Turns as they stand in the context, as one text."""
    return Piece("user", "text", " ".join(turn.prospect for turn in turns))


def context(*pieces: Piece) -> Account:
    """An account with an answer after each piece that quotes it: only the user's own words may count."""
    return Account(tuple(p for piece in pieces for p in (piece, Piece("model", "audio", f"You said: {piece.text}"))))


def sound() -> Account:
    """An account in which everything is held once."""
    return context(*map(spoken, talk()))


def test_a_sound_run_has_nothing_to_report() -> None:
    """Every check is silent: facts all recalled, one greeting, no turn lost or doubled."""
    turns = talk()
    assert checks.facts(turns) == checks.Facts(planted=2, asked=3, recalled=3, forgotten=())
    assert checks.regreetings(turns) == 0
    assert checks.redelivered(turns) == ()
    assert checks.held_by_emulator(turns, sound()) == Held()
    assert checks.held_by_relay(turns, covered=turns[-1].last_input) == Held()


def test_a_forgotten_fact_is_caught() -> None:
    """An answer without the value is not a recall, and points at the turn that told it."""
    turns = talk()
    turns[5].agent = "I am sorry, I do not think you told me your team size."
    assert checks.facts(turns) == checks.Facts(planted=2, asked=3, recalled=2, forgotten=(2,))


def test_a_fact_remembered_later_is_not_forgotten() -> None:
    """Only the newest question decides what is lost; every question counts as asked."""
    turns = talk()
    turns[3].agent = "I do not know."
    assert checks.facts(turns) == checks.Facts(planted=2, asked=3, recalled=2, forgotten=())


def test_a_wrong_value_is_not_a_recall() -> None:
    """Another company's name, however confidently said."""
    assert not said_in("You told me your company is Northwind.", "Brightwater")


def test_the_newest_statement_is_the_true_one() -> None:
    """A fact told anew is asked for in its new form."""
    anew = Turn(7, "My company is Darkwater.", deliveries=1, told={"company": "Darkwater"})
    again = Turn(8, "So. What is my company?", deliveries=1, asked={"company": "Darkwater"})
    assert checks.recalled(again, "Your company is Darkwater.") is True
    assert checks.recalled(again, "Your company is Brightwater.") is False
    assert checks.recalled(anew, "Fine.") is None
    again.agent = "Your company is Brightwater."
    assert checks.facts([*talk(), anew, again]).forgotten == (7,)


def test_an_answer_that_was_spoken_into_is_no_evidence() -> None:
    """Whoever interrupts the answer to a question cannot complain that it lacks the end."""
    turns = talk()
    turns[5].agent, turns[5].interrupted = "You told me your", True
    assert checks.facts(turns) == checks.Facts(planted=2, asked=2, recalled=2, forgotten=())


def test_a_second_greeting_is_caught() -> None:
    """An agent that introduces itself again, anywhere in an answer."""
    turns = talk()
    turns[4].agent = f"Sure. {ANSWERS[0]}"
    assert checks.regreetings(turns) == 1


def test_an_answer_delivered_twice_is_caught() -> None:
    """Complete twice: the client heard it all again."""
    turns = talk()
    turns[2].deliveries = 2
    assert checks.redelivered(turns) == (3,)


@pytest.mark.parametrize("gone", range(6))
def test_a_lost_turn_is_caught(gone: int) -> None:
    """Each single turn missing from the context is found, with its frames, even where its words end another's line."""
    turns = talk()
    held = checks.held_by_emulator(turns, context(*(spoken(turn) for turn in turns if turn.number != gone + 1)))
    assert held == Held(
        lost=(gone + 1,), frames_lost=len(turns[gone].frames), lost_by_turn=((gone + 1, len(turns[gone].frames)),)
    )


def test_a_lost_frame_is_caught() -> None:
    """One frame of 20 ms out of a turn: the turn is there, the frame is not."""
    turns = talk()
    first, last = spoken(turns[1]).frames[0]
    holed = Piece("user", "audio", "", ((first, first + 3), (first + 5, last)))
    assert checks.held_by_emulator(turns, context(spoken(turns[0]), holed, *map(spoken, turns[2:]))) == (
        Held(frames_lost=1, lost_by_turn=((2, 1),))
    )


def test_a_doubled_frame_is_caught() -> None:
    """A few frames sent again after a cut that had in fact arrived."""
    turns = talk()
    first, last = spoken(turns[1]).frames[0]
    stuttered = Piece("user", "audio", "", ((first, first + 9), (first + 5, last)))
    assert checks.held_by_emulator(turns, context(spoken(turns[0]), stuttered, *map(spoken, turns[2:]))) == (
        Held(frames_doubled=5, doubled_by_turn=((2, 5),))
    )


@pytest.mark.parametrize("again", [spoken, written])
def test_a_doubled_turn_is_caught(again: object) -> None:
    """The whole turn is there twice: as audio, or once as audio and once as text."""
    turns = talk()
    assert callable(again)
    held = checks.held_by_emulator(turns, context(*map(spoken, turns), again(turns[3])))
    count = len(turns[3].frames)
    assert held == Held(doubled=(4,), frames_doubled=count, doubled_by_turn=((4, count),))


def test_a_turn_carried_as_text_is_held_with_its_frames() -> None:
    """A context rebuilt from the transcript, in one text or in several, loses nothing; short lines are told apart."""
    turns = talk()
    assert checks.held_by_emulator(turns, context(written(*turns))) == Held()
    assert checks.held_by_emulator(turns, context(written(*turns[:4]), *map(spoken, turns[4:]))) == Held()
    without_fourth = context(written(*turns[:3], *turns[4:]))
    assert checks.held_by_emulator(turns, without_fourth).lost == (4,)


def test_a_turn_in_progress_cannot_be_lost_but_its_frames_can() -> None:
    """It was not promised; its frames were sent, and are nowhere."""
    turns = talk()
    turns[5] = replace(turns[5], deliveries=0, agent="")
    assert checks.held_by_emulator(turns, context(*map(spoken, turns[:5]))) == Held(
        frames_lost=len(turns[5].frames), lost_by_turn=((6, len(turns[5].frames)),)
    )
    assert checks.facts(turns).asked == 2


def test_without_an_emulator_memory_and_the_relays_word_decide() -> None:
    """Forgotten facts are lost turns; frames that were never covered are lost frames."""
    turns = talk()
    turns[5].agent = "No idea."
    held = checks.held_by_relay(turns, covered=turns[4].last_input)
    assert held == Held(lost=(2,), frames_lost=len(turns[5].frames), lost_by_turn=((6, len(turns[5].frames)),))


def test_the_account_is_read_as_the_emulator_writes_it() -> None:
    """The shape of the control API; anything else is an error that says so."""
    text = (
        '{"stream":1,"context":[{"role":"user","kind":"audio","text":"Hi.","utterances":[1],"frames":[[0,4]]}],'
        '"frames":{"distinct_received":5},"greetings":1}'
    )
    assert account.parse(text) == Account((Piece("user", "audio", "Hi.", ((0, 4),)),))
    with pytest.raises(AccountError, match="cannot be read"):
        account.parse('{"context": 3}')


def compressed(account: Account, *turns: Turn, texts: tuple[str, ...] = ()) -> Account:
    """The account, where the model's window has dropped these turns as audio, and these texts."""
    frames = tuple((turn.frames.start, turn.frames.stop - 1) for turn in turns)
    return structs.replace(account, compressed_frames=frames, compressed_texts=texts)


def test_what_the_models_own_window_has_dropped_is_not_lost() -> None:
    """Exactly the turns that the account says it has dropped, as audio or as text."""
    turns = talk()
    rest = context(*map(spoken, turns[2:]))
    assert checks.held_by_emulator(turns, compressed(rest, *turns[:2])) == Held(dropped=(1, 2))
    as_text = compressed(rest, turns[0], texts=(turns[1].prospect,))
    assert checks.held_by_emulator(turns, as_text) == Held(dropped=(1, 2))
    assert checks.held_by_emulator(turns, rest).lost == (1, 2)
    assert checks.held_by_emulator(turns, compressed(rest, turns[0])).lost == (2,)
    assert checks.held_by_emulator(turns, compressed(sound(), *turns[:2])) == Held(), "they came back"


def test_a_turn_that_is_lost_beside_what_was_dropped_is_caught() -> None:
    """A hole after the dropped turns, with all its frames."""
    turns = talk()
    holed = compressed(context(*map(spoken, (turns[2], *turns[4:]))), *turns[:2])
    count = len(turns[3].frames)
    assert checks.held_by_emulator(turns, holed) == Held(
        lost=(4,), frames_lost=count, lost_by_turn=((4, count),), dropped=(1, 2)
    )


def test_a_resume_that_forgets_everything_is_not_excused_by_a_compression_before() -> None:
    """Nothing is left, or the newest turn alone: what compression had not dropped is lost."""
    turns = talk()
    assert checks.held_by_emulator(turns, compressed(Account(), *turns[:2])).lost == (3, 4, 5, 6)
    held = checks.held_by_emulator(turns, compressed(context(spoken(turns[5])), *turns[:2]))
    assert (held.dropped, held.lost) == ((1, 2), (3, 4, 5))
    assert held.frames_lost == sum(len(turn.frames) for turn in turns[2:5])


def test_a_turn_half_of_which_was_dropped_has_lost_the_other_half() -> None:
    """It was there, so it is no lost turn; the frames that nobody dropped are lost."""
    turns = talk()
    rest = structs.replace(context(*map(spoken, turns[1:])), compressed_frames=((0, 3),))
    missing = len(turns[0].frames) - 4
    assert checks.held_by_emulator(turns, rest) == Held(frames_lost=missing, lost_by_turn=((1, missing),), dropped=(1,))
