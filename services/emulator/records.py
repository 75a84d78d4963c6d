"""What is remembered of one connection and of one conversation."""

from dataclasses import dataclass, field
from itertools import chain

from services.emulator import runs, tokens
from services.emulator.categories import Prompt
from services.emulator.closes import Close
from services.emulator.context import Context
from services.emulator.effects import Answered, Continued, Issued
from services.emulator.profiles import Backend
from services.emulator.runs import Runs
from services.emulator.tokens import Tokens


@dataclass
class Bill:
    """What answers have cost.

    Attributes:
        answers: How many there were.
        greetings: How many of them greeted.
        last: The prompt of the last.
        last_response: The last answer itself.
        prompts: All prompts together.
        responses: All answers together.
    """

    answers: int = 0
    greetings: int = 0
    last: Prompt = field(default_factory=Prompt)
    last_response: Tokens = tokens.NONE
    prompts: Prompt = field(default_factory=Prompt)
    responses: Tokens = tokens.NONE

    def add(self, answered: Answered) -> None:
        """One more answer."""
        self.answers += 1
        self.greetings += answered.greeting
        self.last, self.last_response = answered.prompt, answered.response
        self.prompts += answered.prompt
        self.responses += answered.response


def total(bills: "list[Bill]") -> Bill:
    """Several bills as one, the oldest first."""
    answered = [bill for bill in bills if bill.answers]
    return Bill(
        sum(bill.answers for bill in bills),
        sum(bill.greetings for bill in bills),
        answered[-1].last if answered else Prompt(),
        answered[-1].last_response if answered else tokens.NONE,
        sum((bill.prompts for bill in bills), start=Prompt()),
        sum((bill.responses for bill in bills), start=tokens.NONE),
    )


@dataclass(eq=False)
class Connection:
    """What is known of one connection.

    Attributes:
        id: Its name.
        opened_at: UNIX seconds.
        model: What its setup names; empty before the setup.
        backend: The API it came to.
        belongs: The conversation that its setup is about, be it refused.
        conversation: The conversation it belongs to; None for a connection that never came so far.
        handle: Fingerprint of the handle that its setup brought; empty without one.
        resumed_from: The connection that had issued it.
        continued: What its session grew from; None before that is known.
        context: What the model knows; None where a newer connection of the conversation knows better.
        received: The frames of each test voice that reached it, in order of arrival.
        audio_seconds: Length of all audio that reached it.
        handles: The newest handles it was told, as fingerprints, oldest first.
        handles_dropped: How many it was told before those.
        bill: What it has cost.
        closed: How it ended; None while it is open.
    """

    id: str
    opened_at: float
    model: str = ""
    backend: Backend = Backend.DEVELOPER
    belongs: str = ""
    conversation: str | None = None
    handle: str = ""
    resumed_from: str | None = None
    continued: Continued | None = None
    context: Context | None = None
    received: dict[int, Runs] = field(default_factory=dict)
    audio_seconds: float = 0.0
    handles: list[Issued] = field(default_factory=list)
    handles_dropped: int = 0
    bill: Bill = field(default_factory=Bill)
    closed: Close | None = None


@dataclass
class Dropped:
    """What is still known of connections that are not remembered one by one any more.

    Attributes:
        connections: How many they were.
        bill: What they have cost.
        received: Which frames of each test voice reached them.
    """

    connections: int = 0
    bill: Bill = field(default_factory=Bill)
    received: dict[int, Runs] = field(default_factory=dict)

    def add(self, record: Connection) -> None:
        """One more, which is over."""
        self.connections += 1
        self.bill = total([self.bill, record.bill])
        for stream, frames in record.received.items():
            self.received[stream] = runs.merge((*self.received.get(stream, ()), *frames))


@dataclass
class Line:
    """Connections in the order of their setups, so many of them, and the sums of those before.

    Attributes:
        connections: Those that are remembered one by one.
        dropped: The others.
    """

    connections: list[Connection] = field(default_factory=list)
    dropped: Dropped = field(default_factory=Dropped)

    @property
    def bill(self) -> Bill:
        """What all of them have cost."""
        return total([self.dropped.bill, *(one.bill for one in self.connections)])

    def add(self, newest: Connection, most: int) -> None:
        """One more; beyond so many the oldest that is over is dropped: an open one may yet have more to tell."""
        self.connections.append(newest)
        while len(self.connections) > most:
            over = next((one for one in self.connections[:-1] if one.closed is not None), None)
            if over is None:
                return
            self.connections.remove(over)
            over.context = None
            self.dropped.add(over)

    def received(self, stream: int) -> Runs:
        """Which frames of this voice reached them, those that were dropped first."""
        frames = (one.received.get(stream, ()) for one in self.connections)
        return (*self.dropped.received.get(stream, ()), *chain.from_iterable(frames))


@dataclass
class Conversation(Line):
    """A session and all that were resumed from it.

    Attributes:
        id: The name of its first connection.
        began_at: When that was opened, in UNIX seconds.
    """

    id: str = ""
    began_at: float = 0.0

    @property
    def streams(self) -> frozenset[int]:
        """The test voices that spoke in it, or are in its context."""
        context = self.newest.context or Context()
        return context.voices.union(self.dropped.received, *(one.received for one in self.connections))

    @property
    def newest(self) -> Connection:
        """The connection that knows the newest context, or the last one."""
        return next((one for one in reversed(self.connections) if one.context is not None), self.connections[-1])

    def forget(self) -> None:
        """Nobody will ask for the conversation any more."""
        for one in self.connections:
            one.context = None

    def succeed(self, newest: Connection) -> None:
        """That connection goes on: what older ones knew is not needed any more."""
        for one in self.connections:
            one.context = one.context if one is newest else None
