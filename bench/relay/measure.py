"""One measurement of one contender."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from bench.relay.caller import Caller, called, paced, settled
from bench.relay.contenders import Contender

CONVERSATIONS: Final = 40
DEPTH: Final = 2
"""Messages each client keeps under way when the contender is saturated."""


@dataclass(frozen=True, slots=True)
class Paced:
    """At the pace of speech.

    Args:
        cpu_us: Microseconds of processor time for a relayed message, up or down.
        beside_us: The same, of what works beside it (the handle store).
        p50_ms: From a message to the one that answers it.
        p99_ms: The same.
    """

    cpu_us: float
    beside_us: float
    p50_ms: float
    p99_ms: float


def quantile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _cpu(contender: Contender) -> tuple[float, float]:
    return (
        contender.process.cpu() if contender.process else 0.0,
        contender.beside.cpu() if contender.beside else 0.0,
    )


async def at_pace(contender: Contender, callers: list[Caller], seconds: float, rate: float | None = None) -> Paced:
    """The clients send for a while: each at the pace of speech, or `rate` messages a second together."""
    for caller in callers:
        del caller.took[:]
    before, messages = _cpu(contender), -sum(caller.sent + caller.got for caller in callers)
    await paced(callers, seconds, rate)
    await settled(callers)
    messages += sum(caller.sent + caller.got for caller in callers)
    took = [value for caller in callers for value in caller.took]
    own, beside = (after - start for after, start in zip(_cpu(contender), before, strict=True))
    return Paced(own / messages * 1e6, beside / messages * 1e6, quantile(took, 0.5) * 1e3, quantile(took, 0.99) * 1e3)


async def saturated(contender: Contender, callers: list[Caller], seconds: float) -> tuple[float, float]:
    """Round trips a second, as many as it can, and microseconds of its processor for a relayed message."""
    before, got, began = _cpu(contender)[0], sum(caller.got for caller in callers), time.perf_counter()
    for caller in callers:
        caller.press(DEPTH)
    await asyncio.sleep(seconds)
    got, took = sum(caller.got for caller in callers) - got, time.perf_counter() - began
    cpu = _cpu(contender)[0] - before
    for caller in callers:
        caller.press(0)
    await settled(callers)
    return got / took, cpu / (2 * got) * 1e6


async def memory(contender: Contender, count: int, seconds: float) -> tuple[float, float]:
    """KiB a conversation: of more conversations that only begin, and of the same after they have talked for a while."""
    if contender.process is None:
        return 0.0, 0.0
    warm = await called(contender, count // 10)
    before = contender.process.memory()
    callers = await called(contender, count)
    await asyncio.sleep(1)
    idle = contender.process.memory() - before
    await paced(callers, seconds)
    busy = contender.process.memory() - before
    for caller in (*callers, *warm):
        caller.close()
    return idle / count / 1024, busy / count / 1024
