"""A channel that follows its certificate files.

gRPC for Python reads a client's certificate once, when a channel is made. This one makes another when the files have
changed: the next call goes there, and calls under way end where they began.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
from typing_extensions import override

from services.common.grpc_channel import StandInChannel
from services.common.tls import Material, Pem

_GRACE: Final = 3600.0
"""Seconds that calls under way get on the old connection: it was let in once and for all."""


class ReloadingChannel(StandInChannel):
    """Looks like one channel, is always the newest.

    Args:
        material: The files.
        make: Makes a channel with what they hold.
    """

    def __init__(self, material: Material, make: Callable[[Pem], grpc.aio.Channel]) -> None:
        self._material = material
        self._make = make
        self._pem = material.current()
        self._channel = make(self._pem)
        self._retiring: dict[asyncio.Task[None], grpc.aio.Channel] = {}

    def newest(self) -> grpc.aio.Channel:
        """The channel for the next call."""
        pem = self._material.current()
        if pem is not self._pem:
            old, self._pem, self._channel = self._channel, pem, self._make(pem)
            retiring = asyncio.get_running_loop().create_task(old.close(_GRACE))
            self._retiring[retiring] = old
            retiring.add_done_callback(self._retiring.pop)
        return self._channel

    @override
    async def close(self, grace: float | None = None) -> None:
        """Close every connection; calls get `grace` seconds."""
        retiring = dict(self._retiring)
        for task in retiring:
            task.cancel()
        for channel in (*retiring.values(), self._channel):
            await channel.close(grace)

    @override
    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # grpc's own signature
        return self.newest().get_state(try_to_connect)

    @override
    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    @override
    async def channel_ready(self) -> None:
        await self.newest().channel_ready()

    @override
    def unary_unary(self, *method: Any, **how: Any) -> Any:
        return self._following("unary_unary", method, how)

    @override
    def unary_stream(self, *method: Any, **how: Any) -> Any:
        return self._following("unary_stream", method, how)

    @override
    def stream_unary(self, *method: Any, **how: Any) -> Any:
        return self._following("stream_unary", method, how)

    @override
    def stream_stream(self, *method: Any, **how: Any) -> Any:
        return self._following("stream_stream", method, how)

    def _following(self, kind: str, method: tuple[Any, ...], how: dict[str, Any]) -> Callable[..., Any]:
        """What a stub calls: the method of the channel that is the newest at the time of the call."""
        made: tuple[grpc.aio.Channel, Any] | None = None

        def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the method takes it
            nonlocal made
            channel = self.newest()
            if made is None or made[0] is not channel:
                made = (channel, getattr(channel, kind)(*method, **how))
            return made[1](*arguments, **options)

        return call
