"""No input is lost or doubled, no message is lost or heard twice, however often and wherever the connection is cut."""

import json
from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from filo.client import Audio, Credentials, Event, Phase, Policy, Session, messages

Frame = str | bytes


@dataclass
class ModelRelay:
    """The relay by its page, in memory: drops the numbers it has, remembers what it said, may die and lose what it had.

    A relay that dies goes on from what is stored, with a new epoch, and what it had said since is gone: the client is
    not promised it (a completed turn comes as `turn:missed`, which is the relay's own affair).
    """

    inputs: list[Frame] = field(default_factory=list)
    stored: int = 0
    epoch: int = 1
    said: list[Frame] = field(default_factory=list)
    next: int | None = None

    def greet(self, last_seen: tuple[int, int] | None) -> list[Frame]:
        """The greeting on a new socket, and what the client has not seen."""
        self.next = None
        kind = "session:resumed" if last_seen else "session:started"
        seen = last_seen[1] if last_seen and last_seen[0] == self.epoch else 0
        fields = {"epoch": self.epoch, "n": seen, "nextSeq": len(self.inputs) + 1, "covered": self.stored}
        return [json.dumps({"type": kind, **fields}), *self.said[seen:]]

    def take(self, frame: Frame) -> None:
        """One frame of the client has arrived."""
        if isinstance(frame, str):
            message = json.loads(frame)
            if message["type"] == "auth":
                return
            if message["type"] == "seq":
                self.next = message["next"]
                return
        number = self.next if self.next is not None else len(self.inputs) + 1
        self.next = number + 1
        assert number <= len(self.inputs) + 1, "the client left a hole"
        if number == len(self.inputs) + 1:
            self.inputs.append(frame)

    def say(self, text: str | None) -> Frame:
        """Say something: a transcript, or a piece of voice when there is no text."""
        n = len(self.said) + 1
        frame: Frame = b"%d.%d" % (self.epoch, n)
        if text is not None:
            frame = json.dumps({"type": "transcript", "epoch": self.epoch, "n": n, "role": "agent", "text": text})
        self.said.append(frame)
        return frame

    def cover(self) -> Frame:
        """Store what there is."""
        self.stored = len(self.inputs)
        frame = json.dumps({"type": "covered", "epoch": self.epoch, "n": len(self.said) + 1, "seq": self.stored})
        self.said.append(frame)
        return frame

    def words(self) -> list[str]:
        """The numbers of what was said in this epoch for the owner to hear."""
        to_be_heard = enumerate((isinstance(frame, bytes) or "transcript" in frame for frame in self.said), start=1)
        return [f"{self.epoch}.{n}" for n, heard in to_be_heard if heard]

    def die(self) -> None:
        """Another relay attaches, with what is stored."""
        del self.inputs[self.stored :]
        self.epoch += 1
        self.said.clear()


class Delivery(RuleBasedStateMachine):
    """A session, a relay, and a network that holds frames in both directions and forgets them when it is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(Credentials(url="ws://r/ws", session_token="t"), Policy(attempts=10**6), lambda: 0.0)
        self.relay = ModelRelay()
        self.up: deque[Frame] = deque()
        self.down: deque[Frame] = deque()
        self.given: list[Frame] = []
        self.heard: list[str] = []
        self.connect()

    def connect(self) -> None:
        """The client opens a socket."""
        url = self.session.connect(0.0)
        seen = url.partition("lastSeen=")[2].partition("&")[0]
        self.session.opened(0.0)
        epoch, _, n = seen.partition(".")
        self.down.extend(self.relay.greet((int(epoch), int(n)) if seen else None))

    def hear(self, events: list[Event]) -> None:
        """The owner notes the numbers of what it is told."""
        for event in events:
            if isinstance(event, Audio):
                self.heard.append(event.pcm.decode())
            elif isinstance(event, messages.Transcript):
                self.heard.append(f"{event.epoch}.{event.n}")

    @rule(as_text=st.booleans())
    def speak(self, as_text: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """The owner gives an input, whatever the state of the connection."""
        name = f"i{len(self.given)}"
        if as_text:
            self.session.text(name)
            self.given.append(json.dumps({"type": "text", "text": name}, separators=(",", ":")))
        else:
            self.session.audio(name.encode())
            self.given.append(name.encode())

    @rule(count=st.integers(1, 5))
    def send(self, count: int) -> None:
        """The driver writes some frames."""
        for _ in range(count):
            if (frame := self.session.take()) is not None:
                self.up.append(frame)

    @rule(count=st.integers(1, 5))
    def arrive_up(self, count: int) -> None:
        """Some frames reach the relay."""
        for _ in range(min(count, len(self.up))):
            self.relay.take(self.up.popleft())

    @rule(count=st.integers(1, 5))
    def arrive_down(self, count: int) -> None:
        """Some frames reach the client."""
        for _ in range(min(count, len(self.down))):
            self.hear(list(self.session.received(self.down.popleft(), 0.0)))

    @rule(text=st.booleans())
    def answer(self, text: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """The relay says something."""
        self.tell(self.relay.say("words" if text else None))

    @rule()
    def cover(self) -> None:
        """The relay stores what it has and says so."""
        self.tell(self.relay.cover())

    def tell(self, frame: Frame) -> None:
        """What is said goes onto the socket while it is open, all of it or none: a stream has no holes."""
        if self.session.phase in (Phase.GREETING, Phase.LIVE):
            self.down.append(frame)

    @rule(relay_dies=st.booleans())
    def cut(self, relay_dies: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        """The connection is cut: what was on its way is gone; the client comes back."""
        self.up.clear()
        self.down.clear()
        if relay_dies:
            self.relay.die()
        self.session.closed(1006, "", 0.0)
        self.connect()

    @precondition(lambda self: self.session.phase is Phase.LIVE)
    @rule()
    def leave(self) -> None:
        """The relay says goAway: the client leaves by itself and comes back."""
        n = len(self.relay.said) + 1
        self.relay.said.append(json.dumps({"type": "goAway", "epoch": self.relay.epoch, "n": n}))
        self.down.append(self.relay.said[-1])

    @rule()
    def follow(self) -> None:
        """A client that is leaving has left."""
        if self.session.leaving:
            self.cut(relay_dies=False)

    @invariant()
    def what_the_relay_has_is_what_was_said(self) -> None:
        """The relay's inputs are always the beginning of what was given: in order, without holes, each once."""
        assert self.relay.inputs == self.given[: len(self.relay.inputs)]

    @invariant()
    def nothing_is_heard_twice(self) -> None:
        """Each numbered message is heard at most once, and in order."""
        numbers = [tuple(map(int, name.split("."))) for name in self.heard]
        assert numbers == sorted(set(numbers))

    def teardown(self) -> None:
        """However it stood, once the network holds, everything given is there, and nothing twice."""
        while True:
            if self.session.leaving:
                self.cut(relay_dies=False)
            self.arrive_down(len(self.down))
            while (frame := self.session.take()) is not None:
                self.up.append(frame)
            if not self.up and not self.down and not self.session.leaving:
                break
            self.arrive_up(len(self.up))
        self.what_the_relay_has_is_what_was_said()
        assert self.relay.inputs == self.given
        assert [name for name in self.heard if name.startswith(f"{self.relay.epoch}.")] == self.relay.words()


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
