"""What channels have in common that stand in for others: leaving their context closes them."""

from types import TracebackType
from typing import Self

import grpc
from typing_extensions import override


class StandInChannel(grpc.aio.Channel):
    """A channel that hands its calls to another one."""

    @override
    async def __aenter__(self) -> Self:
        return self

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
