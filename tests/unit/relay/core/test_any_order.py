"""A conversation lives through any order of what client, Gemini, store and time may do."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.model import RotationMode, ToolCall
from tests.unit.relay.core.world import Connection, World

CLOSES = st.sampled_from(
    [
        (1000, ""),
        (1006, ""),
        (1011, "Internal error encountered."),
        (1008, "failed to close the connection after receiving a GoAway"),
        (1008, "BidiGenerateContent session not found"),
        (1007, "Request contains an invalid argument."),
        (1007, "API key not valid."),
    ]
)
PLAIN_CLOSES = st.sampled_from([(1006, ""), (1011, "Internal error encountered."), (1008, "session not found")])


class AnyOrder(RuleBasedStateMachine):
    """Random interleavings; `World` complains about whatever must not be."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @property
    def live(self) -> Connection | None:
        """The connection, if its setup is complete."""
        connection = self.world.connection
        return connection if connection is not None and connection.ready_at is not None else None

    @property
    def over(self) -> bool:
        """Whether this relay is done with the conversation."""
        return self.world.over

    # Things go well: without these a random walk seldom gets far.

    @initialize(mode=st.sampled_from(RotationMode))
    def it_begins(self, mode: RotationMode) -> None:
        """A client comes, and Gemini is ready."""
        self.world.join(mode)
        self.world.dialled()

    @precondition(lambda self: not (self.live and self.world.sending))
    @rule(mode=st.sampled_from(RotationMode), handle=st.booleans())
    def it_goes_on(self, mode: RotationMode, handle: bool) -> None:  # noqa: FBT001
        """Whatever is missing happens, until input flows; perhaps with the handle that comes after a setup."""
        if self.over:
            self.world.attach_again(last_words=True)
        if self.live:
            self.world.gone(1000, "")
        if not self.world.present and not self.over:
            self.world.join(mode)
        if self.world.connection and not self.live:
            self.world.dialled()
        if handle and self.live and not self.live.closing:
            self.world.issue_handle()

    @precondition(lambda self: self.live)
    @rule(close=PLAIN_CLOSES | CLOSES, handle=st.booleans())
    def it_is_cut_and_goes_on(self, close: tuple[int, str], handle: bool) -> None:  # noqa: FBT001
        """Lost, and found again."""
        self.world.gone(*close)
        self.it_goes_on(RotationMode.RELAY, handle=handle)

    @precondition(lambda self: self.world.present and self.live and self.world.sending and self.live.answering is None)
    @rule(
        inputs=st.integers(1, 4),
        meanwhile=st.integers(0, 3),
        handle=st.booleans(),
        writes=st.integers(0, 3),
        interrupts=st.booleans(),
    )
    def a_turn_happens(self, inputs: int, meanwhile: int, writes: int, handle: bool, interrupts: bool) -> None:  # noqa: FBT001
        """Asked, answered, completed; perhaps the client goes on speaking, a handle comes, the store keeps up."""
        self.world.say(inputs)
        self.world.feed(inputs)
        self.gemini_transcribes()
        self.gemini_answers(words=True)
        self.world.say(meanwhile)
        if self.world.sending:
            self.world.feed(meanwhile)
        if interrupts and meanwhile and self.world.sending:
            self.gemini_is_interrupted()
            self.gemini_transcribes()
        self.gemini_has_said_all()
        self.gemini_completes_the_turn()
        if handle and self.live:
            self.world.issue_handle()
        for _ in range(min(writes, len(self.world.writes))):
            self.world.store_one()

    @precondition(lambda self: self.world.present and self.live and self.world.sending and self.live.answering is None)
    @rule(first=st.integers(1, 3), second=st.integers(1, 3), answered=st.booleans())
    def two_utterances_wait(self, first: int, second: int, answered: bool) -> None:  # noqa: FBT001
        """The client speaks, is heard, perhaps is being answered, and speaks again after a pause."""
        self.world.begins_to_speak(first)
        if self.world.sending:
            self.world.feed(first)
            self.world.transcribe()
            if answered:
                self.gemini_answers(words=True)
        self.world.begins_to_speak(second)
        if self.world.sending:
            self.world.feed(second)

    # The client.

    @precondition(lambda self: not self.over)
    @rule(mode=st.sampled_from(RotationMode))
    def client_joins(self, mode: RotationMode) -> None:
        """A client comes, or a second one."""
        self.world.join(mode)

    @precondition(lambda self: self.world.present)
    @rule()
    def client_leaves(self) -> None:
        """Its socket is gone."""
        self.world.present = False
        self.world.post(on.ClientLeft())

    @precondition(lambda self: self.world.present)
    @rule(inputs=st.integers(1, 5), begins=st.booleans())
    def client_speaks(self, inputs: int, begins: bool) -> None:  # noqa: FBT001
        """Frames of audio; perhaps the first of an utterance."""
        if begins:
            self.world.begins_to_speak(inputs)
        else:
            self.world.say(inputs)

    @precondition(lambda self: self.world.present)
    @rule()
    def client_writes(self) -> None:
        """A typed turn."""
        self.world.post(on.ClientWrote("typed"))
        self.world.say(1)

    @precondition(lambda self: self.world.present)
    @rule(call=st.sampled_from(["c1", "c2", "c3"]))
    def client_gives_a_result(self, call: str) -> None:
        """For a call that waits, or does not."""
        self.world.post(on.ToolResultGiven(call, {"r": call}))

    # The relay's feeder.

    @precondition(lambda self: self.live and self.world.sending)
    @rule(inputs=st.integers(1, 10))
    def relay_feeds(self, inputs: int) -> None:
        """Some of what waits goes up."""
        self.world.feed(inputs)

    # Gemini.

    @precondition(lambda self: self.world.connection and not self.live)
    @rule()
    def dial_succeeds(self) -> None:
        """The setup is complete."""
        self.world.dialled()

    @precondition(lambda self: self.world.connection and not self.live)
    @rule(close=PLAIN_CLOSES, late=st.booleans())
    def dial_fails(self, close: tuple[int, str], late: bool) -> None:  # noqa: FBT001
        """It is refused, or the relay is too late for it."""
        self.world.gone(*close, late=late)

    @rule(reachable=st.booleans())
    def another_connection_can_be_had(self, reachable: bool) -> None:  # noqa: FBT001
        """Or not, from now on: what is prepared for a rotation stands, or does not."""
        self.world.reachable = reachable

    @precondition(lambda self: self.live and self.live.closing)
    @rule()
    def close_is_acknowledged(self) -> None:
        """Or the bound is reached."""
        self.world.gone(1000, "")

    @precondition(lambda self: self.live)
    @rule(close=CLOSES)
    def connection_is_lost(self, close: tuple[int, str]) -> None:
        """However it stood."""
        self.world.gone(*close)

    @precondition(lambda self: self.live)
    @rule(left=st.sampled_from([None, 0.0, 5.0, 60.0]))
    def gemini_warns(self, left: float | None) -> None:
        """It goes away soon."""
        self.world.post(on.GoAway(left))

    @precondition(lambda self: self.live and self.live.handle_to_come is not None and self.live.answering is None)
    @rule()
    def gemini_issues_a_handle(self) -> None:
        """For the context as it was when the last turn was completed, or at the setup."""
        self.world.issue_handle()

    @precondition(lambda self: self.live)
    @rule()
    def gemini_is_not_resumable(self) -> None:
        """It says so."""
        self.world.post(on.HandleUpdated(None))

    @precondition(lambda self: self.live and (self.live.heard or self.live.answering))
    @rule()
    def gemini_transcribes(self) -> None:
        """A piece, of this turn or the next."""
        self.world.transcribe()

    @precondition(lambda self: self.live and self.live.heard and self.live.answering is None)
    @rule(words=st.booleans(), together=st.booleans(), quiet=st.booleans())
    def gemini_answers(self, words: bool, together: bool = False, quiet: bool = True) -> None:  # noqa: FBT001, FBT002
        """To all that it has heard of this utterance, or of two: where one begins, its ear and the relay's agree."""
        self.world.answer(together=together, quiet=quiet)
        if words:
            self.world.post(on.AgentSaid("word "))

    @precondition(lambda self: self.live and self.live.answering and not (self.live.whole or self.live.interrupted))
    @rule(call=st.sampled_from(["c1", "c2", "c3"]), key=st.integers(1, 2))
    def gemini_calls_a_tool(self, call: str, key: int) -> None:
        """It waits for the result."""
        connection = self.live
        assert connection is not None
        if call not in connection.calls:
            connection.calls.add(call)
            self.world.post(on.ToolsCalled((ToolCall(call, "lookup", {"key": key}),)))

    @precondition(lambda self: self.live and self.live.calls)
    @rule()
    def gemini_cancels_its_calls(self) -> None:
        """It waits no longer."""
        connection = self.live
        assert connection is not None
        ids, connection.calls = tuple(sorted(connection.calls)), set()
        self.world.post(on.ToolCallsCancelled(ids))

    @precondition(lambda self: self.live and self.live.answering and not self.live.calls)
    @rule()
    def gemini_has_said_all(self) -> None:
        """The answer is whole, unless what is in its ear already stops it."""
        connection = self.live
        assert connection is not None
        if connection.hears_on:
            self.world.interrupt()
        elif not connection.interrupted:
            connection.whole = True
            self.world.post(on.GenerationCompleted())

    @precondition(lambda self: self.live and self.live.answering and self.live.heard and not self.live.calls)
    @rule()
    def gemini_is_interrupted(self) -> None:
        """The client speaks into the answer."""
        self.world.interrupt()

    @precondition(lambda self: self.live and self.live.answering and (self.live.whole or self.live.interrupted))
    @rule()
    def gemini_completes_the_turn(self) -> None:
        """What it was told of the turn is in its context now."""
        connection = self.live
        assert connection is not None
        assert connection.answering is not None
        self.world.turn_is_over(connection.answering)

    @precondition(lambda self: self.live and self.live.heard and self.live.answering is None)
    @rule()
    def gemini_chooses_to_say_nothing(self) -> None:
        """It has heard, and completes the turn without an answer."""
        connection = self.live
        assert connection is not None
        self.world.transcribe()
        inputs, connection.heard = connection.heard, []
        self.world.turn_is_over(inputs)

    # The store, the platform and the time.

    @precondition(lambda self: self.world.writes)
    @rule()
    def store_takes_a_write(self) -> None:
        """Sooner or later."""
        self.world.store_one()

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 5.0, 31.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        """The driver ticks when the core wants it to, and at once when it is late."""
        world = self.world
        world.now += seconds
        deadline = world.core.deadline
        if deadline is not None and deadline <= world.now:
            world.post(on.Tick())
            again = world.core.deadline
            assert again is None or again > world.now, "a tick that does not help"

    @precondition(lambda self: (self.world.core.deadline or 0.0) > self.world.now + 0.001)
    @rule()
    def a_timer_goes_off_early(self) -> None:
        """Nothing is due yet, and what will be is still waited for."""
        world = self.world
        deadline = world.core.deadline
        assert deadline is not None
        world.now = deadline - 0.001
        world.post(on.Tick())
        assert world.core.deadline == deadline

    @precondition(lambda self: not self.over)
    @rule(patience=st.floats(1.0, 20.0))
    def this_relay_goes(self, patience: float) -> None:
        """It gives the conversation back at a good moment; when none comes, at the latest when patience is over."""
        world = self.world
        world.post(on.DrainAsked(patience))
        latest = world.now + patience
        while not self.over:
            deadline = world.core.deadline
            assert deadline is not None
            assert deadline <= latest
            world.now = max(world.now, deadline)
            world.post(on.Tick())
            again = world.core.deadline
            assert again is None or again > world.now, "a tick that does not help"

    @rule(
        event=st.sampled_from([on.EndAsked("done"), on.DrainAsked(), on.TakenOver(), on.Fenced(), None]),
        last_words=st.booleans(),
    )
    def another_relay_attaches(self, event: on.Event | None, last_words: bool) -> None:  # noqa: FBT001
        """After an end, a drain, a fence or a crash; the writes that wait are taken by the store, or lost."""
        if event is not None:
            self.world.post(event)
            assert self.over
        self.world.attach_again(last_words=last_words)

    @invariant()
    def nothing_is_sent_for_an_ended_conversation(self) -> None:
        """Over is over: no effect follows."""
        if self.over:
            assert self.world.core.handle(on.Tick(), self.world.now) == []
            assert not any(isinstance(write, do.OpenUpstream) for write in self.world.writes)


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_speech_that_begins_while_the_turn_after_an_interruption_is_heard() -> None:
    """A handle covers what was answered, and nothing of the utterance that waits (a walk that once went wrong)."""
    walk = AnyOrder()
    walk.it_begins(mode=RotationMode.RELAY)
    walk.a_turn_happens(handle=False, inputs=1, interrupts=True, meanwhile=1, writes=0)
    walk.client_speaks(begins=True, inputs=1)
    walk.a_turn_happens(handle=True, inputs=1, interrupts=False, meanwhile=0, writes=0)
    assert not walk.over


def test_two_utterances_that_a_new_connection_hears_at_once() -> None:
    """The answer is to the first; what comes of the second is its own (a walk that once went wrong)."""
    walk = AnyOrder()
    walk.it_begins(mode=RotationMode.RELAY)
    walk.a_turn_happens(handle=True, inputs=2, interrupts=False, meanwhile=0, writes=3)
    walk.two_utterances_wait(first=3, second=4, answered=False)
    walk.it_is_cut_and_goes_on(close=(1006, ""), handle=False)
    walk.relay_feeds(20)
    walk.gemini_answers(words=True)
    walk.gemini_has_said_all()
    walk.gemini_completes_the_turn()
    assert walk.live is not None
    assert walk.live.heard == [6, 7, 8, 9]
    walk.it_is_cut_and_goes_on(close=(1006, ""), handle=False)
    assert walk.world.place == 5
