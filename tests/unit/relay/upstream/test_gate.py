"""The gate: so many dials at once, the one that is wanted soonest first, and nobody held up by one that gives up."""

import asyncio
import math
from contextlib import AsyncExitStack

from services.relay.upstream.breaker import Breaker, BreakerPolicy
from services.relay.upstream.gate import Gate, Purpose, Ticket
from tests.support.clock import ManualClock

POLICY = BreakerPolicy(failures=3, probe_interval=2.0, dials_a_second=10.0)
UNBOUND = BreakerPolicy(dials_a_second=math.inf)


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Queue:
    """Dials at a gate, by name; each is made until it is told to end.

    Args:
        most: So many at once.
        policy: Of the breaker.
    """

    def __init__(self, most: int = 1, policy: BreakerPolicy = UNBOUND) -> None:
        self.clock = ManualClock()
        self.breaker = Breaker(policy)
        self.waits: list[tuple[str, float]] = []
        self.gate = Gate(self.breaker, self.clock, most, lambda purpose, seconds: self.waits.append((purpose, seconds)))
        self.gone: list[str] = []
        self.tickets: dict[str, Ticket] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    def dial(self, name: str, wanted_by: float = 0.0, purpose: Purpose = Purpose.OPEN) -> None:
        """Ask for one."""
        self._ends[name] = asyncio.Event()
        self.tickets[name] = Ticket(wanted_by, purpose)
        self.tasks[name] = asyncio.create_task(self._dial(name))

    def end(self, *names: str) -> None:
        """These are made."""
        for name in names:
            self._ends[name].set()

    async def _dial(self, name: str) -> None:
        async with self.gate.passage(self.tickets[name]):
            self.gone.append(name)
            await self._ends[name].wait()


async def drained(queue: Queue) -> list[str]:
    """Let one after another be made; gives the order."""
    await settled()
    while queue.gate.active:
        queue.end(*queue.gone)
        await settled()
    await asyncio.gather(*queue.tasks.values(), return_exceptions=True)
    assert queue.gate.waiting == 0
    return queue.gone


async def test_first_come_first_dialled() -> None:
    """Of those that are wanted by the same time; and one that is cancelled holds nobody up."""
    queue = Queue()
    for name in "abcd":
        queue.dial(name)
    await settled()
    assert (queue.gone, queue.gate.active, queue.gate.waiting) == (["a"], 1, 3)
    queue.tasks["b"].cancel()
    assert await drained(queue) == ["a", "c", "d"]


async def test_so_many_at_once() -> None:
    """As one is made another goes."""
    queue = Queue(most=3)
    for name in "abcdef":
        queue.dial(name)
    await settled()
    assert (queue.gone, queue.gate.active) == (["a", "b", "c"], 3)
    queue.end("b")
    await settled()
    assert (queue.gone, queue.gate.active) == (["a", "b", "c", "d"], 3)
    assert await drained(queue) == list("abcdef")


async def test_the_one_that_is_wanted_soonest_goes_first() -> None:
    """Whoever comes later in a greater hurry overtakes; one that is wanted by a time is not passed by for ever."""
    queue = Queue()
    queue.dial("first")
    await settled()
    queue.dial("idle", 60.0, Purpose.STANDBY)
    queue.dial("near", 5.0, Purpose.STANDBY)
    queue.dial("cut", 2.0)
    queue.dial("talking", 0.0)
    queue.dial("later", 61.0)
    assert await drained(queue) == ["first", "talking", "cut", "near", "idle", "later"]


async def test_one_that_waits_may_get_into_a_hurry() -> None:
    """Its connection was cut meanwhile; a hurry that is none changes nothing."""
    queue = Queue()
    for name, wanted in (("first", 0.0), ("a", 10.0), ("b", 20.0), ("c", 30.0)):
        queue.dial(name, wanted)
        await settled()
    queue.tickets["c"].hurry(5.0)
    queue.tickets["a"].hurry(15.0)
    queue.tickets["first"].hurry(-1.0)
    assert await drained(queue) == ["first", "c", "a", "b"]


async def test_a_turn_may_end_before_the_context() -> None:
    """The setup that follows a handshake is no work of this relay; and it ends but once."""
    queue = Queue()
    queue.dial("next", 1.0)
    async with AsyncExitStack() as stack:
        done = await stack.enter_async_context(queue.gate.passage(Ticket(0.0, Purpose.OPEN)))
        await settled()
        assert queue.gone == []
        done()
        await settled()
        assert queue.gone == ["next"]
    assert queue.gate.active == 1
    assert await drained(queue) == ["next"]


async def test_the_breaker_says_how_many_go_in_a_second() -> None:
    """And the most urgent goes when it lets one go, also one that came while the first of the others waited for it."""
    queue = Queue(most=10, policy=POLICY)
    for name in ("a", "b", "c"):
        queue.dial(name, 10.0, Purpose.STANDBY)
    await settled()
    assert queue.gone == ["a"]
    queue.dial("urgent", 0.0)
    await settled()
    for _ in range(3):
        queue.clock.advance(0.1)
        await settled()
    assert queue.gone == ["a", "urgent", "b", "c"]
    assert [purpose for purpose, _ in queue.waits] == ["standby", "open", "standby", "standby"]
    assert [round(seconds, 3) for _, seconds in queue.waits] == [0.0, 0.1, 0.2, 0.3]
    await drained(queue)


async def test_a_gate_that_comes_back_late_lets_all_go_that_should_have_gone() -> None:
    """At once, not one for each time that it comes back."""
    queue = Queue(most=10, policy=BreakerPolicy(dials_a_second=50.0))
    for name in "abcdefghij":
        queue.dial(name)
    await settled()
    assert queue.gone == ["a"]
    queue.clock.advance(0.1)
    await settled()
    assert queue.gone == list("abcdef")
    queue.end(*"abcdef")
    await drained_slowly(queue)
    assert queue.gone == list("abcdefghij")


async def drained_slowly(queue: Queue) -> None:
    """Let the rest go, a tenth of a second after another."""
    while queue.gate.active or queue.gate.waiting:
        queue.clock.advance(0.1)
        await settled()
        queue.end(*queue.gone)
        await settled()


async def test_one_that_is_cancelled_in_the_moment_of_its_turn_takes_no_place() -> None:
    """It was let go, and never went."""
    queue = Queue()
    queue.dial("a")
    queue.dial("b")
    queue.dial("c")
    await settled()
    queue.end("a")
    while queue.gate.waiting == 2:  # noqa: ASYNC110 - the moment itself
        await asyncio.sleep(0)
    queue.tasks["b"].cancel()
    assert await drained(queue) == ["a", "c"]


async def test_a_dial_that_fails_gives_its_place_back() -> None:
    """Whatever ends it."""
    queue = Queue()
    queue.dial("a")
    queue.dial("b")
    await settled()
    queue.tasks["a"].cancel()
    await settled()
    assert queue.gone == ["a", "b"]
    assert queue.gate.active == 1
    await drained(queue)
