"""What a key may create a minute, and have at once."""

from typing import Any

import pytest

from services.common import api_keys
from services.common.api_keys import Keys
from services.common.errors import Reason, ServiceError
from services.common.grpc_access import Caller
from services.common.quotas import Quotas, Standing
from tests.support.clock import ManualClock

PATH = "/filo.relay.v1.RelayService/CreateSession"


class Called:
    """A call with a key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What came with it."""
        return (("x-api-key", self._key),)


class Handler:
    """Stands for a handler: what answers, and how to replace it."""

    def __init__(self, answer: Any) -> None:  # noqa: ANN401 - a behaviour
        self.unary_unary = answer

    def _replace(self, unary_unary: Any) -> "Handler":  # noqa: ANN401 - a behaviour
        return Handler(unary_unary)


class Bench:
    """Something that creates, with quotas around it."""

    def __init__(self, conversations: int = 0, creations: int = 0) -> None:
        self.clock = ManualClock()
        self.standing: dict[str, Standing] = {}
        self.looks = 0
        self.made = 0
        quotas = {"conversations": conversations, "creations": creations}
        shop = api_keys.line("shop", "the-key-of-the-shop", Caller.PLATFORM, **quotas)
        lines = [shop, api_keys.line("desk", "the-key-of-the-desk")]
        self.limits = Quotas(Keys("\n".join(lines)), self.clock, self._stands)
        self._call = self.limits.limited(PATH, str)(PATH, Handler(self._create)).unary_unary

    async def _stands(self, name: str) -> Standing:
        self.looks += 1
        return self.standing[name]

    async def _create(self, request: object, _: object) -> str:
        if isinstance(request, Exception):
            raise request
        self.made += 1
        self.standing[str(self.made)] = Standing.BUSY
        return str(self.made)

    async def create(self, key: str = "the-key-of-the-shop", request: object = None) -> str:
        """Create one."""
        answer: str = await self._call(request, Called(key))
        return answer

    async def refused(self) -> ServiceError:
        """Be refused one."""
        with pytest.raises(ServiceError) as caught:
            await self.create()
        assert caught.value.reason is Reason.QUOTA_EXCEEDED
        return caught.value


async def test_creations_a_minute() -> None:
    """The next is let through when the first is a minute old, and the refusal says when that is."""
    bench = Bench(creations=2)
    await bench.create()
    bench.clock.advance(20.0)
    await bench.create()
    error = await bench.refused()
    assert error.retry_after == pytest.approx(40.0)
    assert error.metadata == {"quota": "creations", "limit": "2"}
    bench.clock.advance(40.0)
    await bench.create()
    await bench.refused()


async def test_conversations_at_once() -> None:
    """What is over makes room; what goes on does not."""
    bench = Bench(conversations=2)
    first, _ = await bench.create(), await bench.create()
    error = await bench.refused()
    assert error.metadata == {"quota": "conversations", "limit": "2"}
    assert error.retry_after
    bench.standing[first] = Standing.OVER
    bench.clock.advance(1.0)
    await bench.create()
    bench.clock.advance(1.0)
    await bench.refused()


async def test_only_what_is_limited_is_kept() -> None:
    """A key that may have any number at once leaves no name behind for each of them, however long it is used."""
    bench = Bench(creations=2)
    for _ in range(20):
        await bench.create()
        bench.clock.advance(60.0)
    assert not bench.limits.going_on("shop")


async def test_what_nobody_came_to_counts_for_a_minute() -> None:
    """A session that is never used does not hold its place for ever."""
    bench = Bench(conversations=1)
    bench.standing[await bench.create()] = Standing.IDLE
    bench.clock.advance(59.0)
    await bench.refused()
    bench.clock.advance(1.0)
    await bench.create()


async def test_the_same_again_counts_once() -> None:
    """A repeated request gives the same conversation, which is there once."""
    bench = Bench(conversations=2)
    await bench.create()
    bench.made -= 1
    await bench.create()
    await bench.create()
    await bench.refused()


async def test_a_failure_holds_no_place() -> None:
    """What was not created is not there."""
    bench = Bench(conversations=1)
    with pytest.raises(ServiceError, match="no"):
        await bench.create(request=ServiceError(Reason.STORE_UNAVAILABLE, "no"))
    await bench.create()


async def test_refusals_cost_little() -> None:
    """Whoever asks again and again does not make us ask the store each time."""
    bench = Bench(conversations=1)
    await bench.create()
    for _ in range(10):
        await bench.refused()
    assert bench.looks == 1


async def test_keys_do_not_share() -> None:
    """Another key, without quotas, is not held to anything; nor is a call of another name."""
    bench = Bench(conversations=1, creations=1)
    await bench.create()
    await bench.refused()
    for _ in range(5):
        await bench.create("the-key-of-the-desk")
    handler = Handler(None)
    limits = Quotas(Keys(api_keys.line("shop", "the-key-of-the-shop")), bench.clock, bench._stands)
    assert limits.limited(PATH, str)("/other/Call", handler) is handler
