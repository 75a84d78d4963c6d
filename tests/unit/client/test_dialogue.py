"""The dialogue is whole and says nothing twice, whatever was cut, repeated or missed."""

from typing import Any

from filo.client import Dialogue, messages


def heard(dialogue: Dialogue, number: int, user: str, agent: str, *, complete: bool = True) -> None:
    """A turn as it comes from the relay, the answer in two pieces."""
    dialogue.take(messages.Transcript(turn=number, role="user", text=user))
    middle = len(agent) // 2
    for piece in (agent[:middle], agent[middle:]):
        dialogue.take(messages.Transcript(turn=number, role="agent", text=piece))
    if complete:
        dialogue.take(messages.TurnComplete(turn=number))


def shown(dialogue: Dialogue) -> list[tuple[Any, ...]]:
    """What a page would show."""
    return [(turn.number, turn.said, turn.agent, turn.complete) for turn in dialogue.turns]


def started(epoch: int = 1, turn: int = 0) -> Dialogue:
    """A dialogue that has begun."""
    dialogue = Dialogue()
    dialogue.take(messages.SessionStarted(epoch=epoch, turn=turn))
    return dialogue


def test_pieces_are_put_together() -> None:
    """Each turn has what was said in it."""
    dialogue = started()
    heard(dialogue, 1, "Good morning.", "Hello, this is Ada.")
    heard(dialogue, 2, "Who?", "Ada.", complete=False)
    assert shown(dialogue) == [(1, "Good morning.", "Hello, this is Ada.", True), (2, "Who?", "Ada.", False)]


def test_a_restarted_turn_is_said_once() -> None:
    """What the relay withdraws is gone, and what comes again is there once; it is counted."""
    dialogue = started()
    heard(dialogue, 1, "Good mor", "Hello, th", complete=False)
    dialogue.take(messages.TurnRestarted(turn=1))
    heard(dialogue, 1, "Good morning.", "Hello.")
    assert shown(dialogue) == [(1, "Good morning.", "Hello.", True)]
    assert dialogue.turns[0].restarts == 1


def test_another_relay_begins_the_unfinished_turn_again() -> None:
    """Nobody is left to say `turn:restarted`: the greeting of a new epoch says how far the store got."""
    dialogue = started()
    heard(dialogue, 1, "One.", "First.")
    heard(dialogue, 2, "Two.", "Second.")
    heard(dialogue, 3, "Thr", "Th", complete=False)
    dialogue.take(messages.SessionResumed(epoch=2, turn=1))
    assert shown(dialogue) == [(1, "One.", "First.", True), (2, "", "", False), (3, "", "", False)]
    heard(dialogue, 2, "Two.", "Second again.")
    assert shown(dialogue)[1] == (2, "Two.", "Second again.", True)


def test_the_same_relay_begins_nothing_again() -> None:
    """In the same epoch the relay sends what was missed, and the turn goes on where it was."""
    dialogue = started()
    heard(dialogue, 1, "One.", "Fir", complete=False)
    dialogue.take(messages.SessionResumed(epoch=1, turn=0))
    dialogue.take(messages.Transcript(turn=1, role="agent", text="st."))
    assert shown(dialogue) == [(1, "One.", "First.", False)]


def test_a_missed_turn_takes_the_place_of_its_pieces() -> None:
    """It comes whole, typed words included, so these are not shown beside it."""
    dialogue = started()
    dialogue.typed("What is my budget?")
    dialogue.take(messages.Transcript(turn=1, role="agent", text="You to"))
    dialogue.take(messages.SessionResumed(epoch=2, turn=1))
    dialogue.take(messages.TurnMissed(turn=1, user="What is my budget?", agent="You told me."))
    assert shown(dialogue) == [(1, "What is my budget?", "You told me.", True)]


def test_what_is_typed_stays_where_it_belongs() -> None:
    """Into an answer, it belongs to the next turn; a restart does not take it away."""
    dialogue = started()
    dialogue.typed("Hello")
    dialogue.take(messages.Transcript(turn=1, role="agent", text="Hi"))
    dialogue.typed("And now?")
    dialogue.take(messages.TurnRestarted(turn=1))
    assert shown(dialogue) == [(1, "Hello", "", False), (2, "And now?", "", False)]


def test_an_older_conversation_goes_on_after_its_last_turn() -> None:
    """A fresh client of it knows nothing of what was said, but where it stands."""
    dialogue = started(epoch=4, turn=6)
    assert dialogue.typed("Where were we?").number == 7
