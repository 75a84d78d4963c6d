"""Turns as they happen: where they end, and what a cut leaves."""

import pytest

from services.relay.core.model import START, Mark, Turn
from services.relay.core.turns import Stage, Talk


def talk() -> Talk:
    """Turn 5 is to begin; the input of turn 4 ended at 40."""
    return Talk(4, Mark(40, 140))


def mark(position: int) -> Mark:
    """A client that counts its inputs with a start of 100."""
    return Mark(position, 100 + position)


def answered(text: str = "hello", at: int = 50) -> Talk:
    """A talk in the middle of an answer."""
    it = talk()
    it.heard(text)
    it.answer_began(mark(at))
    it.said("well")
    return it


def test_what_gemini_has_heard_since_the_newest_turn() -> None:
    """From its first word of that, or its answer where it tells no words, until the turn is complete."""
    it = talk()
    assert not it.heard_by_gemini
    it.heard("How much?")
    assert it.heard_by_gemini
    it.answer_began(mark(50))
    assert it.heard_by_gemini, "the answer may still be withdrawn"
    it.interrupted()
    it.heard("No, how many?")
    it.complete(mark(60))
    assert it.heard_by_gemini, "what it was interrupted by"
    it.answer_began(mark(70))
    it.complete(mark(70))
    assert not it.heard_by_gemini
    it.answer_began(mark(90))
    assert it.heard_by_gemini


def test_a_turn_ends_where_its_answer_began() -> None:
    """What was sent before the first output is this turn's input, what comes later is the next one's."""
    it = talk()
    it.heard("How ")
    it.heard("much?")
    it.answer_began(mark(50))
    it.answer_began(mark(55))
    it.said(" Ten")
    it.said(" euros. ")
    it.answer_is_whole()
    assert it.complete(mark(60)) == Turn(5, "How much?", "Ten euros.", covered_seq=150)
    assert (it.last, it.number, it.boundary, it.stage) == (5, 6, mark(50), Stage.QUIET)


def test_a_turn_without_an_answer_ends_where_the_input_stood() -> None:
    """A model may choose to say nothing: then what was sent so far was heard, and is over."""
    it = talk()
    it.heard("Hm.")
    assert it.complete(mark(60)) == Turn(5, "Hm.", "", covered_seq=160)
    assert it.boundary == mark(60)


def test_an_answer_before_any_input() -> None:
    """An answer that began before the first input ends the turn there, not at what was sent since."""
    it = Talk(0, START)
    it.answer_began(START)
    it.said("Welcome.")
    assert it.complete(mark(9)) == Turn(1, "", "Welcome.")
    assert it.boundary == START


def test_nothing_said_is_no_turn() -> None:
    """A completion out of nothing counts nothing and moves nothing."""
    it = talk()
    assert it.complete(mark(60)) is None
    assert (it.last, it.boundary) == (4, mark(40))


def test_stages() -> None:
    """Quiet, then the client's moment, then the agent's, then quiet."""
    it = talk()
    stages = [it.stage]
    it.began_to_speak()
    stages.append(it.stage)
    it.answer_began(mark(50))
    stages.append(it.stage)
    it.complete(mark(60))
    stages.append(it.stage)
    assert stages == [Stage.QUIET, Stage.LISTENING, Stage.ANSWERING, Stage.QUIET]


@pytest.mark.parametrize("begin", ["wrote", "heard"])
def test_words_make_it_the_clients_moment(begin: str) -> None:
    """Typed or transcribed words are as good as a voice."""
    it = talk()
    getattr(it, begin)("hello")
    assert it.stage is Stage.LISTENING


def test_speech_into_an_answer_outlasts_it() -> None:
    """A client that speaks when the turn ends still has its moment."""
    it = answered()
    it.began_to_speak()
    it.complete(mark(60))
    assert it.stage is Stage.LISTENING


def test_typed_text_into_an_answer_is_the_next_turns() -> None:
    """Its place is after the answer that it is typed into."""
    it = answered("one")
    it.wrote("two")
    first = it.complete(mark(60))
    it.answer_began(mark(61))
    second = it.complete(mark(61))
    assert first is not None
    assert second is not None
    assert (first.user_text, second.user_text) == ("one", "two")


@pytest.mark.parametrize("answering", [False, True], ids=["before the answer", "into the answer"])
def test_two_utterances_are_two_for_the_next_connection_too(answering: bool) -> None:  # noqa: FBT001
    """It hears both at once, and the second stops the answer to the first: only that is taken to be answered."""
    it = talk()
    it.began_to_speak(mark(45))
    it.heard("one")
    if answering:
        it.answer_began(mark(50))
    it.began_to_speak(mark(50))
    it.cut()
    it.answer_began(mark(60))
    it.interrupted()
    assert it.complete(mark(60)) is not None
    assert it.boundary == mark(50)


def test_an_answer_that_nobody_interrupts_is_to_both_utterances() -> None:
    """Gemini had heard the second before it began to answer: neither waits any more, and nothing is heard again."""
    it = talk()
    it.began_to_speak(mark(45))
    it.heard("one")
    it.began_to_speak(mark(50))
    it.cut()
    it.heard("one, two")
    it.answer_began(mark(60), quiet=0.5)
    assert it.complete(mark(64)) == Turn(5, "one, two", "", interrupted=False, covered_seq=160)
    assert (it.boundary, it.began, it.stage) == (mark(60), None, Stage.QUIET)


def test_speech_into_an_answer_to_two_utterances_is_the_next_turns() -> None:
    """Where the answer goes on for so long that a third begins, the second was in it."""
    it = talk()
    it.heard("one")
    it.began_to_speak(mark(50))
    it.answer_began(mark(60), quiet=0.5)
    it.began_to_speak(mark(75))
    it.interrupted()
    it.complete(mark(80))
    assert it.boundary == mark(60)
    it.answer_began(mark(90))
    it.complete(mark(90))
    assert it.boundary == mark(90)


@pytest.mark.parametrize(("sent", "quiet"), [(60, 0.5), (65, 0.0)], ids=["not sent", "in the middle of it"])
def test_a_second_utterance_that_was_not_sent_to_its_end_is_not_answered(sent: int, quiet: float) -> None:
    """However short the answer, what was on its way to Gemini is the next turn's."""
    it = talk()
    it.heard("one")
    it.began_to_speak(mark(60))
    it.answer_began(mark(sent), quiet=quiet)
    it.complete(mark(70))
    assert it.boundary == mark(60)


def test_an_utterance_that_was_passed_over_waits_no_more() -> None:
    """Gemini chose to say nothing to it: what begins while there is no connection is one utterance, not a second."""
    it = talk()
    it.began_to_speak(mark(41))
    it.heard("hm")
    it.complete(mark(50))
    it.began_to_speak(mark(52), waiting=True)
    it.answer_began(mark(60))
    it.complete(mark(60))
    assert it.boundary == mark(60)


def test_speech_after_a_cut_is_not_what_was_heard_before_it() -> None:
    """The next connection hears that again, and then this, into its answer."""
    it = talk()
    it.heard("one")
    it.cut()
    it.began_to_speak(mark(50))
    it.answer_began(mark(60))
    it.interrupted()
    it.complete(mark(60))
    assert it.boundary == mark(50)


def test_where_a_turn_began() -> None:
    """At its first input, be it spoken into the answer before; nobody knows it of a turn that is begun again."""
    it = talk()
    it.wrote("one", mark(45))
    it.began_to_speak(mark(47))
    it.answer_began(mark(50))
    it.began_to_speak(mark(52))
    it.complete(mark(60))
    assert it.began == mark(45)
    it.answer_began(mark(61))
    it.complete(mark(62))
    assert it.began == mark(52)
    it.wrote("three", mark(70))
    it.cut()
    it.answer_began(mark(71))
    it.complete(mark(72))
    assert it.began is None


def test_typed_and_spoken_words_are_one_turn() -> None:
    """Typed words stand on lines of their own."""
    it = talk()
    it.wrote("look:")
    it.wrote("a link")
    it.heard(" this ")
    it.answer_began(mark(50))
    turn = it.complete(mark(50))
    assert turn is not None
    assert turn.user_text == "look:\na link\nthis"


def test_late_transcripts_belong_to_the_turn_that_is_answered() -> None:
    """Transcripts come in no fixed order relative to audio."""
    it = answered("hel")
    assert it.heard("lo") == 5
    turn = it.complete(mark(60))
    assert turn is not None
    assert turn.user_text == "hello"


def test_an_interruption_ends_the_turn_where_it_had_been_answered() -> None:
    """What the client said into the answer, heard or typed, is the next turn's; the answer is what was sent of it."""
    it = answered("one")
    it.interrupted()
    assert it.heard("wait") == 6
    it.wrote("typed")
    assert it.complete(mark(70)) == Turn(5, "one", "well", interrupted=True, covered_seq=150)
    assert it.stage is Stage.LISTENING
    it.answer_began(mark(75))
    turn = it.complete(mark(80))
    assert turn == Turn(6, "typed\nwait", "", covered_seq=175)


def test_an_interruption_before_the_first_output_is_the_client_speaking_on() -> None:
    """There is nothing to stop yet: the turn goes on, and what is heard is still its own."""
    it = talk()
    it.heard("one")
    it.interrupted()
    assert it.heard(" and two") == 5
    assert it.complete(mark(60)) is None
    assert (it.last, it.boundary, it.stage) == (4, mark(40), Stage.LISTENING)
    it.answer_began(mark(70))
    assert it.complete(mark(80)) == Turn(5, "one and two", "", covered_seq=170)


def test_an_interruption_of_nothing_leaves_nothing() -> None:
    """The next turn is like any other."""
    it = talk()
    it.interrupted()
    it.complete(mark(45))
    assert it.heard("one") == 5
    it.answer_began(mark(50))
    assert it.complete(mark(50)) == Turn(5, "one", "", covered_seq=150)


def test_a_cut_while_nothing_happens() -> None:
    """Nothing is over, nothing begins again."""
    it = talk()
    assert it.cut() == (None, None)
    assert (it.last, it.boundary, it.stage) == (4, mark(40), Stage.QUIET)


def test_a_cut_while_the_client_speaks() -> None:
    """What was heard is withdrawn, since it is heard again; what was typed stays, since nobody hears it."""
    it = talk()
    it.wrote("typed")
    it.heard("hel")
    assert it.cut() == (None, 5)
    it.heard("hello")
    it.answer_began(mark(50))
    assert it.complete(mark(50)) == Turn(5, "typed\nhello", "", covered_seq=150)


def test_a_cut_after_typing_withdraws_nothing() -> None:
    """The client was told nothing of the turn."""
    it = talk()
    it.wrote("typed")
    assert it.cut() == (None, None)
    assert it.stage is Stage.LISTENING


def test_a_cut_into_an_answer_withdraws_it() -> None:
    """The turn begins again with what was typed before and into it; its input is where it was."""
    it = answered()
    it.wrote("typed")
    assert it.cut() == (None, 5)
    assert (it.last, it.boundary, it.stage) == (4, mark(40), Stage.LISTENING)
    it.heard("hello")
    it.answer_began(mark(60))
    it.said("again")
    assert it.complete(mark(60)) == Turn(5, "typed\nhello", "again", covered_seq=160)


def test_a_cut_after_the_whole_answer_keeps_it() -> None:
    """The client has all of it: only the word that the turn is over is missing."""
    it = answered()
    it.answer_is_whole()
    assert it.cut() == (Turn(5, "hello", "well", covered_seq=150), None)
    assert (it.last, it.boundary, it.stage) == (5, mark(50), Stage.QUIET)


def test_a_cut_after_an_interruption_keeps_what_was_heard_out() -> None:
    """The interrupted answer is as whole as it will be; what came of the interrupting words is heard again."""
    it = answered()
    it.interrupted()
    it.heard("wa")
    it.wrote("typed")
    assert it.cut() == (Turn(5, "hello", "well", interrupted=True, covered_seq=150), 6)
    it.heard("wait")
    it.answer_began(mark(80))
    assert it.complete(mark(80)) == Turn(6, "typed\nwait", "", covered_seq=180)


def test_a_cut_after_a_completion_without_any_output() -> None:
    """An answer that is whole and empty proves nothing about the input: it is sent again, so the turn is not over."""
    it = talk()
    it.heard("hello")
    it.answer_is_whole()
    assert it.cut() == (None, 5)
    assert (it.last, it.boundary) == (4, mark(40))


def test_whoever_speaks_into_an_answer_says_one_thing_however_its_end_is_noticed() -> None:
    """The detector begins anew as the turn ends, in the middle of a word, where no utterance ends. A pause ends one."""
    for paused, end in ((False, 70), (True, 55)):
        it = answered()
        it.began_to_speak(mark(51))
        it.interrupted()
        assert it.complete(mark(54)) == Turn(5, "hello", "well", interrupted=True, covered_seq=150)
        it.heard("what")
        it.began_to_speak(mark(55), paused=paused)
        it.heard(" else?")
        it.answer_began(mark(70))
        if paused:
            it.interrupted()
        done = it.complete(mark(72))
        assert done is not None
        assert (done.user_text, done.covered_seq) == ("what else?", 100 + end)
