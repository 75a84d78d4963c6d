"""What is put around every unary call that is made: once, when a stub is built.

grpc.aio runs the interceptors of a call in tasks of their own; for a small call that is a quarter of what it costs. A
stream costs more anyway, and keeps them.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from typing_extensions import override

from services.common.grpc_channel import StandInChannel

Call = Callable[..., Awaitable[Any]]
"""What a stub calls: a request, then options by name."""

Around = Callable[[str, Call], Call]
"""Gives what shall be called in place of a method, ``/package.Service/Call``."""


class DirectChannel(StandInChannel):
    """A channel with something around its unary calls.

    Args:
        channel: Makes the calls; closed with this one.
        around: What is put around each.
    """

    def __init__(self, channel: grpc.aio.Channel, around: Around) -> None:
        self._channel = channel
        self._around = around

    @override
    def unary_unary(self, method: str, *how: Any, **named: Any) -> Any:
        return self._around(method, self._channel.unary_unary(method, *how, **named))

    @override
    def unary_stream(self, *method: Any, **how: Any) -> Any:
        return self._channel.unary_stream(*method, **how)

    @override
    def stream_unary(self, *method: Any, **how: Any) -> Any:
        return self._channel.stream_unary(*method, **how)

    @override
    def stream_stream(self, *method: Any, **how: Any) -> Any:
        return self._channel.stream_stream(*method, **how)

    @override
    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    @override
    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # grpc's own signature
        return self._channel.get_state(try_to_connect)

    @override
    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    @override
    async def channel_ready(self) -> None:
        await self._channel.channel_ready()
