"""The word of a turn's end waits for the store, and not for ever."""

import pytest

from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.completions import Completions
from services.relay.core.model import Role, Turn
from tests.unit.relay.core.scene import POLICY, Scene


def ended(*numbers: int, stored: bool = True) -> list[tell.TurnEnded]:
    """What is told of these turns."""
    return [tell.TurnEnded(number, interrupted=False, stored=stored) for number in numbers]


@pytest.fixture(name="it")
def completions() -> Completions:
    """They wait for two seconds at most."""
    return Completions(2.0)


def over(it: Completions, *numbers: int) -> None:
    """These turns are over."""
    for number in numbers:
        it.over(Turn(number, "u", "a"))


def test_a_turn_is_told_once_the_store_has_it(it: Completions) -> None:
    """Not before, and not again."""
    over(it, 1, 2)
    assert it.look(10.0) == []
    assert it.stored(1) == ended(1)
    assert it.stored(1) == []
    assert it.stored(2) == ended(2)
    assert it.deadline is None


def test_a_store_that_is_away_keeps_a_client_waiting_once(it: Completions) -> None:
    """The first turn is told after a while, as not stored; the next ones at once, until the store answers."""
    over(it, 1)
    assert it.look(10.0) == []
    assert it.deadline == 12.0
    assert it.look(11.9) == []
    assert it.look(12.0) == ended(1, stored=False)
    assert it.deadline is None
    over(it, 2)
    assert it.look(13.0) == ended(2, stored=False)
    assert it.stored(2) == []
    over(it, 3)
    assert it.look(14.0) == []
    assert it.deadline == 16.0
    assert it.stored(3) == ended(3)


def test_a_store_that_answers_slowly_is_waited_for(it: Completions) -> None:
    """Each answer of it is a sign of life: what waits behind waits anew."""
    over(it, 1)
    assert it.look(10.0) == []
    over(it, 2)
    assert it.look(11.0) == []
    assert it.stored(1) == ended(1)
    assert it.look(12.5) == []
    assert it.deadline == 14.5


def test_what_waits_can_be_told_at_once(it: Completions) -> None:
    """It is told then, and only then, and not as stored."""
    over(it, 1)
    assert it.give_up() == ended(1, stored=False)
    assert it.give_up() == it.stored(1) == []


def test_the_answer_waits_for_nothing_and_its_end_for_the_store() -> None:
    """What the agent says is told as it comes; the end of the turn comes with what the store has confirmed."""
    scene = Scene().live().gets_handle().asks().answers("Yes.")
    assert tell.Transcript(Role.AGENT, "Yes.", 1) in scene.told
    scene.completes()
    assert scene.told == []
    scene.stores()
    assert scene.told == [*ended(1), tell.InputCovered(10, 1)]


def test_a_store_that_is_away_is_not_waited_for_long() -> None:
    """The conversation asks to be told the time, and tells the end with a doubt; `covered` comes when it is true."""
    scene = Scene().live().gets_handle().asks().answers().completes()
    checkpoint = scene.out
    assert scene.core.deadline == scene.now + POLICY.store_patience
    scene.after(POLICY.store_patience)
    assert scene.told == ended(1, stored=False)
    scene.out = checkpoint
    scene.stores()
    assert scene.told == [tell.InputCovered(10, 1)]


def test_a_relay_that_is_fenced_tells_no_end() -> None:
    """This relay never will store the turn: whoever has the conversation tells it, or begins it again."""
    scene = Scene().live().gets_handle().asks().answers().completes()
    scene.let(on.Fenced())
    assert scene.told == []


def test_the_end_of_the_conversation_does_not_swallow_a_turn() -> None:
    """A client that ends it at once is told that the turn was over, before it is told that all is."""
    scene = Scene().live().gets_handle().asks().answers().completes()
    scene.let(on.EndAsked("done"))
    assert scene.told == [*ended(1, stored=False), tell.ConversationOver("done")]
