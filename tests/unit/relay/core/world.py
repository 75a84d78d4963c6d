"""A small model of Gemini and of the store, to let a conversation's core live through anything.

Every input is known by its number in the whole conversation, so that a context is simply the list of the inputs that it
holds: told to it as audio or text, as turns that were sent as content, or by the snapshot behind a handle.

The model believes nothing that the core says of itself. Which inputs a turn holds is what Gemini has answered; where an
utterance begins is what the client did; what is open, covered or over follows from the effects. What the core knows is
only compared with that.
"""

from collections import deque
from dataclasses import dataclass, field

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.attachment import Attachment
from services.relay.core.conversation import Conversation
from services.relay.core.ledger import Ledger
from services.relay.core.model import Mark, Policy, RotationMode, Turn, UpstreamHandle
from services.relay.core.states import Phase

POLICY = Policy(dials_a_drop=6, dials_a_life=40, max_age=60.0, age_patience=20.0, grace=30.0)


@dataclass
class Connection:
    """One upstream connection, from the dial on.

    Args:
        begun_with: The dial.
        ready_at: When its setup was complete.
        closing: The relay has closed it.
        context: The inputs in its context.
        heard: Those that wait for an answer.
        answering: Those that are being answered.
        whole: The answer is.
        interrupted: Or nothing more of it will come.
        hears_on: It was told more of the next utterance than was in its ear when it began to answer: it will stop.
        handle_to_come: The context for which a handle is due.
        calls: The tools that it waits for.
    """

    begun_with: do.OpenUpstream
    ready_at: float | None = None
    closing: bool = False
    context: list[int] = field(default_factory=list)
    heard: list[int] = field(default_factory=list)
    answering: list[int] | None = None
    whole: bool = False
    interrupted: bool = False
    hears_on: bool = False
    handle_to_come: tuple[int, ...] | None = None
    calls: set[str] = field(default_factory=set)


@dataclass
class Store:
    """What survives a relay."""

    turns: list[Turn] = field(default_factory=list)
    handle: UpstreamHandle | None = None
    attached: int = 0

    @property
    def covered(self) -> int:
        """The newest input in the stored turns."""
        return self.turns[-1].covered_seq if self.turns else 0

    def attachment(self) -> Attachment:
        """What a relay that attaches is given."""
        self.attached += 1
        uncovered = [turn for turn in self.turns if self.handle and turn.number > self.handle.covers_turn]
        return Attachment(
            new=self.attached == 1,
            turn_count=len(self.turns),
            covered_seq=self.covered,
            handle=self.handle,
            uncovered=tuple(uncovered),
            ledger=Ledger(),
        )

    def write(self, write: do.Effect) -> on.CheckpointStored | None:
        """Take one write, like the real one: a turn stored twice is stored once."""
        if isinstance(write, do.InvalidateHandle):
            self.handle = None
        if not isinstance(write, do.Checkpoint):
            return None
        for turn in write.turns:
            if turn.number > len(self.turns):
                assert turn.number == len(self.turns) + 1, "the store got a turn before its predecessor"
                self.turns.append(turn)
        self.handle = write.handle or self.handle
        told = f"rh-{write.handle.secret}" if write.handle else None
        return on.CheckpointStored(self.covered, len(self.turns), told, "later")


class World:
    """A conversation, the relay that holds it, its client, Gemini, the store, and the time.

    It performs the effects as the driver does, and complains about any that must not be.

    Attributes:
        policy: The relay's settings.
    """

    policy = POLICY

    def __init__(self) -> None:
        self.now = 1000.0
        self.reachable = True
        self.said = 0
        self.handles = 0
        self.snapshots: dict[str, tuple[int, ...]] = {}
        self.begin()

    def begin(self) -> None:
        """A new conversation."""
        self.said = 0
        self.store = self.new_store()
        self.attach()

    def new_store(self) -> Store:
        """A store with nothing in it."""
        return Store()

    def attach(self) -> None:
        """A relay takes the conversation; whatever another had of it is gone."""
        attachment = self.store.attachment()
        self.core = Conversation(attachment, self.policy, self.now)
        self.over = False
        self.offset = attachment.covered_seq
        self.ends = {turn.number: turn.covered_seq for turn in self.store.turns}
        self.answered = attachment.covered_seq
        self.speaking = False
        self.transcribed = self.transcribed_next = False
        self.next_utterance: int | None = None
        self.taken = 0
        self.place = 0
        self.forgotten = 0
        self.sending = False
        self.present = False
        self.ended = False
        self.connection: Connection | None = None
        self.writes: deque[do.Effect] = deque()
        self.dials = 0

    def attach_again(self, *, last_words: bool) -> None:
        """Another relay takes it, or a new one begins after the end; what waits for the store is taken, or lost."""
        while last_words and self.over and self.writes:
            self.store.write(self.writes.popleft())
        if self.ended:
            self.begin()
        else:
            self.attach()

    @property
    def turn(self) -> int:
        """The turn in progress, or the next one."""
        return max(self.ends, default=0) + 1

    def post(self, event: on.Event) -> None:
        """Let something happen, and do what follows."""
        events = deque([event])
        while events:
            happened = events.popleft()
            effects = self.core.handle(happened, self.now)
            if isinstance(happened, on.TurnCompleted) and any(isinstance(effect, do.Forget) for effect in effects):
                self.dials = 0
            for effect in effects:
                self._perform(effect, events)
        self.check()

    # What the relay does.

    def _perform(self, effect: do.Effect, events: "deque[on.Event]") -> None:  # noqa: C901, PLR0912 - a case an effect
        match effect:
            case do.OpenUpstream():
                self._open(effect)
            case do.PrepareUpstream(wanted_by=wanted_by):
                assert self.present, "prepared for nobody"
                assert self.now <= wanted_by <= self.now + 60.0, "wanted before now, or too late"
                events.append(on.UpstreamPrepared(stands=self.reachable))
            case do.CloseUpstream():
                assert self.connection is not None, "closed what is not open"
                assert self.connection.ready_at is not None, "closed what is not set up"
                self._lived()
                self.connection.closing = True
            case do.StartSending(after=after):
                self._start(after)
            case do.StopSending():
                self.sending = False
            case do.Forget(through=through):
                self._turn_is_held(through)
            case do.AnswerTool(id=call_id):
                assert self.connection is not None, "answered nobody"
                assert not self.connection.closing, "answered a connection that is being closed"
                self.connection.calls.remove(call_id)
            case do.Tell(notice=notice):
                self._told(notice)
            case do.CloseClient():
                if self.present and effect.why is do.Farewell.RECONNECT:
                    self.present = False
                    events.append(on.ClientLeft())
            case do.Stop():
                left = self.connection
                assert left is None or left.closing or left.ready_at is None, "a connection is left open"
                self.connection = None
                self.present, self.over = False, True
            case do.Checkpoint() | do.InvalidateHandle() | do.Release() | do.EndConversation():
                self._write(effect)
            case do.Welcome():
                assert self.present, "welcomed nobody"

    def _turn_is_held(self, through: int) -> None:
        """The core has a turn, and what the client said in it need not be kept here."""
        assert through + self.offset == self.answered, "a turn holds other inputs than were answered in it"
        assert self.answered > self.ends.get(self.turn - 1, 0), "a turn without an input of its own"
        self.ends[self.turn] = self.answered
        self.forgotten = through
        self.next_utterance, self.transcribed, self.transcribed_next = None, self.transcribed_next, False

    def _write(self, effect: do.Effect) -> None:
        if isinstance(effect, do.Checkpoint):
            for turn in effect.turns:
                assert turn.covered_seq == self.ends[turn.number], "a stored turn ends elsewhere"
            self._check_handle(effect.handle)
        self.ended |= isinstance(effect, do.EndConversation)
        self.writes.append(effect)

    def _open(self, effect: do.OpenUpstream) -> None:
        assert self.connection is None, "two upstream connections"
        assert effect.history_through <= len(self.store.turns), "history that the store does not have"
        assert 0 <= effect.wait_at_most <= POLICY.retry_cap
        assert self.present, "dialled for nobody"
        self.dials += 1
        assert self.dials <= POLICY.dials_a_drop, "dials without end"
        assert effect.wait_at_most > 0 or self.dials == 1, "a hot loop"
        self.connection = Connection(effect)

    def _start(self, after: Mark) -> None:
        connection = self.connection
        assert connection is not None
        assert connection.ready_at is not None, "sent before the setup was complete"
        assert after.position + self.offset == after.seq
        assert after.position >= self.forgotten, "what must be sent again was forgotten"
        assert connection.context == list(range(1, after.seq + 1)), "an input is lost or doubled"
        self.place, self.sending = after.position, True

    def _told(self, notice: tell.Notice) -> None:
        match notice:
            case tell.TurnEnded(turn=number, stored=True):
                assert number <= len(self.store.turns), "complete before it was stored"
            case tell.InputCovered(seq=seq):
                assert seq <= self.store.covered, "covered before it was stored"
            case _:
                pass

    def _lived(self) -> None:
        if self.connection and self.connection.ready_at is not None:
            self.dials = 0 if self.now - self.connection.ready_at >= POLICY.stable_after else self.dials

    # What others do.

    def dialled(self) -> None:
        """The setup is complete; the content is sent."""
        connection = self.connection
        assert connection is not None
        effect = connection.begun_with
        connection.ready_at = self.now
        connection.context = list(self.snapshots[effect.handle]) if effect.handle else []
        connection.handle_to_come = tuple(connection.context)
        history = [turn for turn in self.store.turns if turn.number <= effect.history_through]
        for turn in (*history, *effect.content):
            first = self.ends.get(turn.number - 1, 0) + 1
            connection.context += range(first, turn.covered_seq + 1)
        self.post(on.UpstreamReady())

    def gone(self, code: int, reason: str, *, late: bool = False) -> None:
        """The connection is closed, or could not be made, perhaps since the relay was late."""
        if self.connection is not None and not self.connection.closing:
            self._lived()
        late = late and self.connection is not None and self.connection.ready_at is None
        self.dials -= late
        self.connection = None
        self.post(on.UpstreamClosed(code, reason, late=late))
        self.transcribed_next = False

    def join(self, mode: RotationMode) -> None:
        """The client comes, and sends again what this relay does not have."""
        self.present = True
        self.post(on.ClientJoined(mode))
        self.taken = self.said - self.offset

    def say(self, inputs: int) -> None:
        """The client sends inputs."""
        self.said += inputs
        self.taken += inputs

    def begins_to_speak(self, inputs: int) -> None:
        """The client sends the first inputs of an utterance.

        It is another than the last, by Gemini's ear too, where that one was transcribed before or is being answered,
        and where both wait for a connection. Whoever hears them once more hears the same.
        """
        if self.connection is not None and self.connection.hears_on:
            self.interrupt()  # long before another pause is over
        before = Mark(self.taken, self.said)
        self.say(inputs)
        waiting, connection = not self.sending, self.connection
        answering = connection is not None and connection.answering is not None
        if (self.transcribed or answering or (waiting and self.speaking)) and self.next_utterance is None:
            self.next_utterance = before.seq
        self.speaking = True
        self.post(on.SpeechBegan(before, waiting=waiting))

    def feed(self, inputs: int) -> None:
        """The relay sends some of what waits."""
        for _ in range(min(inputs, self.taken - self.place)):
            self.place += 1
            assert self.connection is not None, "sent to nobody"
            assert not self.connection.closing, "sent after the close"
            self.connection.heard.append(self.place + self.offset)

    @property
    def sent(self) -> Mark:
        """The newest input that was sent to this connection."""
        return Mark(self.place, self.place + self.offset)

    def transcribe(self) -> None:
        """Gemini tells a piece of what it has heard: into an answer it is of that turn, after an interruption not."""
        connection = self.connection
        assert connection is not None
        self.transcribed = True
        self.transcribed_next |= connection.interrupted
        self.post(on.UserHeard("word "))

    def answer(self, *, together: bool = False, quiet: bool = True) -> None:
        """Gemini begins to answer all that it has heard of this utterance, or of two where it heard the second in time.

        What it hears of the second only when it answers the first already will interrupt that answer; unless the
        client is in the middle of it and the answer short, and most of it comes later.
        """
        connection = self.connection
        assert connection is not None
        begun, heard = self.next_utterance, connection.heard
        last = heard[-1] if begun is None or begun < heard[0] or together else min(begun, heard[-1])
        if together and begun is not None and begun < last:
            self.next_utterance = None
        connection.answering = [number for number in heard if number <= last]
        connection.heard = [number for number in heard if number > last]
        quiet = quiet or together
        connection.hears_on = bool(connection.heard) and quiet
        self.answered, self.speaking = last, False
        self.post(on.AnswerBegan(self.sent, quiet=1.0 if quiet else 0.0))

    def interrupt(self) -> None:
        """The client speaks into the answer."""
        connection = self.connection
        assert connection is not None
        connection.interrupted = self.speaking = True
        connection.hears_on = False
        self.post(on.Interrupted())

    def turn_is_over(self, inputs: list[int]) -> None:
        """Gemini completes a turn with these inputs, and will issue a handle for it."""
        connection = self.connection
        assert connection is not None
        self.answered = inputs[-1]
        self.speaking = self.speaking and connection.answering is not None
        connection.context += inputs
        connection.answering, connection.whole, connection.interrupted = None, False, False
        connection.handle_to_come = tuple(connection.context)
        self.post(on.TurnCompleted(self.sent))

    def issue_handle(self) -> None:
        """Gemini issues the handle that is due."""
        connection = self.connection
        assert connection is not None
        assert connection.handle_to_come is not None
        self.handles += 1
        secret = f"h{self.handles}"
        self.snapshots[secret], connection.handle_to_come = connection.handle_to_come, None
        self.post(on.HandleUpdated(secret))

    def store_one(self) -> None:
        """The store takes the oldest write."""
        stored = self.store.write(self.writes.popleft())
        if stored is not None:
            self.post(stored)

    # What must always hold.

    def check(self) -> None:
        """Phase and connection agree; handles hold what they are said to; nothing is covered that is not stored."""
        connection, phase = self.connection, self.core.phase
        if connection is None:
            assert phase in (Phase.PARKED, Phase.OVER)
        elif connection.ready_at is None:
            assert phase is Phase.OPENING
        else:
            assert phase is (Phase.CLOSING if connection.closing else Phase.LIVE)
        open_now = connection is not None and connection.ready_at is not None and not connection.closing
        assert not self.sending or open_now, "it would send what nobody takes"
        assert self.core.coverage.covered_seq <= self.store.covered
        self._check_handle(self.core.coverage.handle)

    def _check_handle(self, handle: UpstreamHandle | None) -> None:
        if handle is not None:
            covered = self.ends.get(handle.covers_turn, 0)
            assert self.snapshots[handle.secret] == tuple(range(1, covered + 1)), "a handle covers something else"
