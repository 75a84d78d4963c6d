"""The small model of Gemini and of the store, with advice to the agent in it.

A context holds the numbers of the items that it was told, and the instruction at most one of them besides. Gemini
counts tokens truly: so many for each input and for each item.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core.attachment import Attachment
from services.relay.core.capabilities import UNHINDERED, Channel
from services.relay.core.feedback import tokens
from services.relay.core.model import Feedback, FeedbackChange, FeedbackPolicy, FeedbackState, Usage
from tests.unit.relay.core.world import POLICY, Connection, Store, World

FORWARD = tuple(FeedbackState)
INPUT_TOKENS = 50


@dataclass
class AdvisedConnection(Connection):
    """One upstream connection, and the advice that its context holds."""

    advice: list[str] = field(default_factory=list)
    instructed: str = ""
    advice_to_come: tuple[str, ...] = ()


@dataclass
class AdvisedStore(Store):
    """What survives a relay, feedback too."""

    items: dict[str, Feedback] = field(default_factory=dict)
    policy: FeedbackPolicy = FeedbackPolicy.AUTO
    channel: Channel = Channel.CONTEXT_UPDATE

    def attachment(self) -> Attachment:
        """What a relay that attaches is given."""
        alive = (FeedbackState.ACCEPTED, FeedbackState.DELIVERED)
        items = tuple(item for item in self.items.values() if item.state in alive)
        return replace(
            super().attachment(),
            feedback=items,
            newest_feedback=max(map(int, self.items), default=0),
            feedback_policy=self.policy,
            instruction_characters=400,
            capability=replace(UNHINDERED, instruction=self.channel),
        )

    def give(self, item: Feedback) -> None:
        """Store an item; one that waits is superseded."""
        for older in self.items.values():
            if older.state is FeedbackState.ACCEPTED:
                self.items[older.id] = replace(older, state=FeedbackState.SUPERSEDED)
        self.items[item.id] = item

    def write(self, write: do.Effect) -> on.CheckpointStored | None:
        """Take one write at once: a handle that is deleted, changes of feedback that go forward, and the rest."""
        if isinstance(write, do.Checkpoint):
            self.handle = None if write.invalidate else self.handle
            for change in write.feedback:
                self._move(change)
        return super().write(write)

    def _move(self, change: FeedbackChange) -> None:
        item = self.items[change.id]
        if FORWARD.index(change.state) >= FORWARD.index(item.state):
            self.items[change.id] = replace(
                item, state=change.state, turn=change.turn, tokens=change.tokens, detail=change.detail
            )


class AdvisedWorld(World):
    """The world, with a platform that gives advice; it complains about advice that is where it must not be."""

    def __init__(self) -> None:
        self.given = 0
        self.wish = FeedbackPolicy.AUTO
        self.channel = Channel.CONTEXT_UPDATE
        self.advised: dict[str, tuple[str, ...]] = {}
        self.served: dict[str, int] = {}
        self.delivered: set[str] = set()
        self.overtaken: set[str] = set()
        self.typed: set[int] = set()
        super().__init__()

    def with_policy(self, wish: FeedbackPolicy, rebase_tokens: int, channel: Channel) -> None:
        """Begin again under a policy, with a model whose instruction is replaced by a channel."""
        self.channel = channel
        self.policy = replace(POLICY, rebase_tokens=rebase_tokens, rebase_interval=2.0)
        self.wish = wish
        self.begin()

    def new_store(self) -> Store:
        """A store with nothing in it."""
        self.typed.clear()
        return AdvisedStore(policy=self.wish, channel=self.channel)

    @property
    def items(self) -> dict[str, Feedback]:
        """What the store has of feedback."""
        assert isinstance(self.store, AdvisedStore)
        return self.store.items

    @property
    def gemini(self) -> AdvisedConnection:
        """The connection that there must be."""
        assert isinstance(self.connection, AdvisedConnection)
        return self.connection

    # What the platform does.

    def give(self, *, told: bool, seconds: float | None, speaking: bool) -> None:
        """Give an item; perhaps this relay is not told of it."""
        self.given += 1
        item = Feedback(
            str(self.given), f"item {self.given}", expires_at=None if seconds is None else self.now + seconds
        )
        assert isinstance(self.store, AdvisedStore)
        self.store.give(item)
        if told:
            self.post(on.FeedbackGiven(item, speaking))

    def tell_again(self) -> None:
        """The same item, told twice."""
        item = self.items.get(str(self.given))
        if item is not None:
            self.post(on.FeedbackGiven(replace(item, state=FeedbackState.ACCEPTED)))

    # What the relay does.

    def _open(self, effect: do.OpenUpstream) -> None:
        super()._open(effect)
        advice = self.advised[effect.handle] if effect.handle else ()
        self.connection = AdvisedConnection(effect, advice=list(advice), advice_to_come=advice)

    def _perform(self, effect: do.Effect, events: "deque[on.Event]") -> None:
        match effect:
            case do.Advise(channel=channel, text=text):
                self._advise(channel, text)
            case do.TellWatchers(notice=notice):
                self._changed(notice.change)
            case _:
                super()._perform(effect, events)

    def _advise(self, channel: Channel, text: str) -> None:
        gemini = self.gemini
        assert gemini.ready_at is not None, "advised before the setup was complete"
        assert not gemini.closing, "advised a connection that is being closed"
        assert gemini.answering is None, "advised in the middle of an answer"
        number = text.rpartition(" ")[2]
        asked = self.typed.intersection(gemini.heard)
        assert not asked or (channel, text) == (Channel.CONTEXT_UPDATE, ""), "advised while typed words are answered"
        if channel is Channel.CONTENT:
            assert number not in gemini.advice, "told twice in one context"
            gemini.advice.append(number)
        else:
            assert channel is self.channel
            self.delivered.discard(gemini.instructed)  # there is room for one
            gemini.instructed = number

    def attach(self) -> None:
        """A relay takes the conversation, and knows of the items what the store knows."""
        super().attach()
        self.typed.clear()  # what it is sent again, it is not told that it was typed
        given = [
            item
            for item in self.items.values()
            if item.state is FeedbackState.DELIVERED and "no removal" not in item.detail
        ]
        self.overtaken = {item.id for item in given if "overtaken" in item.detail}
        newest = {item.turn: item for item in given}  # of two for one turn the newer one had taken the other's place
        self.delivered = {item.id for item in (given if self.wish is FeedbackPolicy.APPEND else newest.values())}
        stored = {item.id: item.turn for item in self.items.values() if item.turn}
        self.served = {number: stored.get(number, turn) for number, turn in self.served.items()}
        for number in self.items.keys() - stored.keys():  # whatever was delivered is forgotten with the relay
            self.served.pop(number, None)

    def _changed(self, change: FeedbackChange) -> None:
        self.delivered.discard(change.id)
        if change.state is FeedbackState.DELIVERED:
            self.delivered.add(change.id)
            self.served.setdefault(change.id, change.turn)
            assert self.served[change.id] == change.turn, "an item serves one turn"
            if "overtaken" in change.detail:
                self.overtaken.add(change.id)
            if "no removal" in change.detail:  # what a rebuilt session is told costs nothing here, and that misleads
                self.delivered.discard(change.id)
        if change.state is FeedbackState.REMOVED and self.connection is not None:
            gemini = self.gemini
            assert change.id not in (*gemini.advice, gemini.instructed), "removed, and still there"

    # What Gemini does.

    def post(self, event: on.Event) -> None:
        """Let something happen; an answer is given under the advice of its turn."""
        if isinstance(event, on.ClientWrote):
            self.typed.add(self.said + 1)
        if isinstance(event, on.AnswerBegan):
            self._check_answer()
            self.typed.clear()  # all of it counts as answered, also what Gemini is sent later
        super().post(event)

    def _check_answer(self) -> None:
        gemini, turn = self.gemini, self.turn
        uncleared = (
            self.channel is Channel.SYSTEM_ROLE and self.typed
        )  # into the last answer: to clear would cut this one
        served = gemini.instructed and self.served[gemini.instructed] != turn
        assert uncleared or not served, "advised by what has served"
        live = {number for number in (*gemini.advice, gemini.instructed) if number and self.served[number] == turn}
        assert len(live - self.overtaken) <= 1 or self.wish is FeedbackPolicy.APPEND, "two items for one turn"
        assert not live or max(live, key=int) not in self.overtaken, "an older item has taken the place of a newer one"
        mine = {number for number in self.delivered - self.overtaken if self.served[number] == turn}
        assert mine <= {*gemini.advice, gemini.instructed}, "what was delivered for this turn is not there"

    def turn_is_over(self, inputs: list[int]) -> None:
        """Gemini completes a turn, and tells what it cost."""
        gemini = self.gemini
        gemini.advice_to_come = tuple(gemini.advice)
        held = [number for number in (*gemini.advice, gemini.instructed) if number]
        cost = sum(tokens(self.items[number]) for number in held)
        self.post(on.UsageCounted(Usage(100 + INPUT_TOKENS * len((*gemini.context, *inputs)) + cost, 0)))
        assert self.delivered.issubset(held), "a usage was counted, and what is gone is not said to be removed"
        super().turn_is_over(inputs)

    def issue_handle(self) -> None:
        """Gemini issues the handle that is due; its context holds the advice that was there when it was made."""
        self.advised[f"h{self.handles + 1}"] = self.gemini.advice_to_come
        super().issue_handle()

    # What must always hold.

    def check(self) -> None:
        """No handle in use or in the store has a context with what is said to be removed."""
        super().check()
        removed = {item.id for item in self.items.values() if item.state is FeedbackState.REMOVED}
        for handle in (self.core.coverage.handle, self.store.handle):
            assert handle is None or not removed.intersection(self.advised[handle.secret]), "a polluted handle"
        waiting = [item for item in self.items.values() if item.state is FeedbackState.ACCEPTED]
        assert len(waiting) <= 1
