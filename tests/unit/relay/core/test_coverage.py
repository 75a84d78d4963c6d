"""The three marks of a turn: completed, stored, covered."""

from services.relay.core.coverage import Coverage
from services.relay.core.effects import Checkpoint
from services.relay.core.events import CheckpointStored
from services.relay.core.ledger import Ledger
from services.relay.core.model import Continuity, Mark, Turn, UpstreamHandle, Usage
from services.relay.core.notices import HandleRenewed, InputCovered


def turn(number: int) -> Turn:
    """A turn whose input ends at ten times its number."""
    return Turn(number, f"u{number}", f"a{number}", covered_seq=number * 10)


def fresh() -> Coverage:
    """A conversation that begins, on its first connection."""
    coverage = Coverage(None, (), 0, Ledger())
    coverage.connection_opens(seeded=False)
    return coverage


def taken(checkpoint: Checkpoint | None) -> Checkpoint:
    """A checkpoint that must be there."""
    assert checkpoint is not None
    return checkpoint


def numbers(turns: tuple[Turn, ...]) -> list[int]:
    """The turns' numbers."""
    return [one.number for one in turns]


def test_nothing_new_is_not_stored() -> None:
    """No checkpoint without a turn or a handle; that a context survived waits for the next one."""
    coverage = fresh()
    coverage.context_survived(Continuity.HANDLE)
    assert coverage.checkpoint() is None
    coverage.turn_completed(turn(1))
    assert taken(coverage.checkpoint()).continuity is Continuity.HANDLE


def test_a_checkpoint_takes_all_that_is_new() -> None:
    """Turns, the newest handle, the ledger."""
    coverage = fresh()
    coverage.ledger = Ledger(given=5)
    coverage.turn_completed(turn(1))
    coverage.handle_updated("h1")
    assert coverage.checkpoint() == Checkpoint((turn(1),), UpstreamHandle("h1", 1), Ledger(given=5), None)


def test_checkpoints_do_not_overtake_each_other() -> None:
    """While one is under way the next gathers, and takes what is not stored yet."""
    coverage = fresh()
    coverage.turn_completed(turn(1))
    assert numbers(taken(coverage.checkpoint()).turns) == [1]
    coverage.turn_completed(turn(2))
    coverage.handle_updated("h2")
    assert coverage.checkpoint() is None
    assert coverage.stored(CheckpointStored(10, 1)) == [InputCovered(10, 1)]
    second = taken(coverage.checkpoint())
    assert (numbers(second.turns), second.handle) == ([2], UpstreamHandle("h2", 2))
    coverage.stored(CheckpointStored(20, 2))
    assert coverage.checkpoint() is None


def test_the_last_checkpoint_does_not_wait() -> None:
    """It repeats what is under way, since nobody will ask again; a turn stored twice is stored once."""
    coverage = fresh()
    coverage.turn_completed(turn(1))
    coverage.checkpoint()
    coverage.turn_completed(turn(2))
    assert numbers(taken(coverage.checkpoint(last=True)).turns) == [1, 2]


def test_the_last_checkpoint_of_nothing() -> None:
    """Nothing new is nothing to store, last or not."""
    assert fresh().checkpoint(last=True) is None


def test_covered_is_what_the_store_says() -> None:
    """A completed turn is not covered; it is once it is stored; and never less than before."""
    coverage = fresh()
    coverage.turn_completed(turn(1))
    coverage.checkpoint()
    assert coverage.covered_seq == 0
    coverage.stored(CheckpointStored(10, 1))
    assert coverage.covered_seq == 10
    assert coverage.stored(CheckpointStored(10, 1)) == []
    assert coverage.stored(CheckpointStored(5, 1)) == []
    assert coverage.covered_seq == 10


def test_a_stored_handle_is_told() -> None:
    """The client gets its own for it, before it is told what it may forget."""
    coverage = fresh()
    coverage.turn_completed(turn(1))
    coverage.handle_updated("h1")
    coverage.checkpoint()
    assert coverage.stored(CheckpointStored(10, 1, "rh", "later")) == [
        HandleRenewed("rh", "later"),
        InputCovered(10, 1),
    ]
    assert coverage.renewal == HandleRenewed("rh", "later")


def test_a_handle_covers_the_turns_completed_before() -> None:
    """What is completed after it was issued is not in the context behind it."""
    coverage = fresh()
    assert not coverage.all_covered
    coverage.handle_updated("h0")
    assert coverage.all_covered
    coverage.turn_completed(turn(1))
    assert not coverage.all_covered
    assert numbers(coverage.uncovered) == [1]
    coverage.handle_updated("h1")
    assert coverage.all_covered
    assert coverage.handle == UpstreamHandle("h1", 1)


def test_the_first_handle_of_a_resumed_connection_holds_no_content() -> None:
    """It may have been issued before the content was read: it covers what the connection was resumed from."""
    coverage = Coverage(UpstreamHandle("h1", 1), (turn(2), turn(3)), 30, Ledger())
    coverage.connection_opens(seeded=False)
    coverage.handle_updated("h1-again")
    assert coverage.handle == UpstreamHandle("h1-again", 1)
    assert numbers(coverage.uncovered) == [2, 3]
    coverage.turn_completed(turn(4))
    coverage.handle_updated("h4")
    assert coverage.handle == UpstreamHandle("h4", 4)
    assert coverage.all_covered


def test_a_handle_that_comes_late_covers_what_it_holds() -> None:
    """Where Gemini tells the newest input in it: a turn that began after that is not in it, and none is uncovered."""
    coverage = fresh()
    coverage.turn_completed(turn(1), Mark(0, 0))
    coverage.turn_completed(turn(2), Mark(10, 10))
    coverage.turn_completed(turn(3), Mark(20, 20))
    coverage.handle_updated("h1", consumed=Mark(10, 10))
    assert (coverage.handle, numbers(coverage.uncovered)) == (UpstreamHandle("h1", 1), [2, 3])
    coverage.handle_updated("h3", consumed=Mark(21, 21))
    coverage.handle_updated("older", consumed=Mark(0, 0))
    assert (coverage.handle, numbers(coverage.uncovered)) == (UpstreamHandle("h3", 3), [])


def test_where_nobody_saw_a_turn_begin_its_handle_is_believed() -> None:
    """As it is where Gemini does not tell what a handle holds."""
    coverage = fresh()
    coverage.turn_completed(turn(1), None)
    coverage.handle_updated("h1", consumed=Mark(0, 0))
    assert coverage.all_covered


def test_a_handle_that_comes_late_is_judged_by_no_usage() -> None:
    """The newest usage is of a turn that it does not hold."""
    coverage = fresh()
    coverage.ledger = Ledger(usage=Usage(100, 10))
    coverage.turn_completed(turn(1), Mark(0, 0))
    coverage.turn_completed(turn(2), Mark(10, 10))
    coverage.handle_updated("h1", consumed=Mark(10, 10))
    assert coverage.baseline is None
    coverage.handle_updated("h2", consumed=Mark(20, 20))
    assert coverage.baseline is not None


def test_a_handle_that_comes_before_a_turn_is_judged_like_the_one_before_it() -> None:
    """What was counted on the connection that is gone is in neither context: it must not be looked for."""
    coverage = fresh()
    coverage.ledger = Ledger(usage=Usage(100, 10))
    coverage.turn_completed(turn(1))
    coverage.handle_updated("h1")
    before = coverage.baseline
    coverage.ledger = Ledger(usage=Usage(900, 10))
    coverage.turn_completed(turn(2))
    coverage.connection_opens(seeded=True)
    coverage.handle_updated("h2")
    assert (coverage.handle, coverage.baseline) == (UpstreamHandle("h2", 1), before)
    assert before == Usage(100, 10)


def test_the_first_handle_of_a_rebuilt_session_is_not_worth_having() -> None:
    """Nobody knows whether the history was in it: until a turn is completed the transcript is the better source."""
    coverage = Coverage(None, (), 30, Ledger())
    coverage.connection_opens(seeded=True)
    coverage.handle_updated("empty")
    assert coverage.handle is None
    assert coverage.checkpoint() is None
    coverage.turn_completed(turn(4))
    coverage.handle_updated("h4")
    assert coverage.handle == UpstreamHandle("h4", 4)


def test_a_lost_handle_covers_nothing() -> None:
    """History comes from the store, and what is not stored yet is told from here."""
    coverage = fresh()
    coverage.turn_completed(turn(1))
    coverage.handle_updated("h1")
    coverage.checkpoint()
    coverage.stored(CheckpointStored(10, 1, "rh", "later"))
    coverage.turn_completed(turn(2))
    coverage.handle_updated("h2")
    coverage.handle_lost()
    assert (coverage.handle, coverage.renewal, coverage.all_covered) == (None, None, False)
    assert numbers(coverage.uncovered) == [2]
    assert taken(coverage.checkpoint()).handle is None


def test_a_handle_that_dies_while_it_is_stored_is_not_told() -> None:
    """The client would come back with it for nothing."""
    coverage = fresh()
    coverage.turn_completed(turn(1))
    coverage.handle_updated("h1")
    coverage.checkpoint()
    coverage.handle_lost()
    assert coverage.stored(CheckpointStored(10, 1, "rh", "later")) == [InputCovered(10, 1)]
    assert coverage.renewal is None


def test_turns_that_are_stored_meanwhile_stay_uncovered() -> None:
    """Storing is not covering: the next connection is told them all the same, and once."""
    coverage = fresh()
    coverage.turn_completed(turn(1))
    coverage.checkpoint()
    coverage.handle_lost()
    coverage.stored(CheckpointStored(10, 1))
    assert numbers(coverage.uncovered) == [1]
