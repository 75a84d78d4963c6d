"""What each API key may create, and how much of it at once; kept by each process for itself.

A conversation (or run) counts from its creation until it is over. One that nobody has come to counts for a minute: it
costs nothing, and may never be used.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from services.common import api_keys, logs
from services.common.api_keys import Key, Keys
from services.common.clock import Clock
from services.common.errors import Reason, ServiceError
from services.common.grpc_server import Context
from services.common.grpc_wrapping import Handler, Wrap

_MINUTE: Final = 60.0
_LOOK_AGAIN: Final = 1.0
"""Seconds between two looks at what a key has."""
_LOOKED_AT: Final = 64
"""What is looked at in one look, the oldest first."""
_RETRY: Final = 5.0
"""Seconds after which something may be over."""


class Standing(StrEnum):
    """How something that was created stands."""

    BUSY = "busy"
    IDLE = "idle"
    OVER = "over"


@dataclass
class _Account:
    """What a key has created: when, for the last minute; and what may still be going on, the oldest first."""

    times: deque[float] = field(default_factory=deque)
    going_on: dict[str, float] = field(default_factory=dict)
    pending: int = 0
    looked: float = float("-inf")


class Quotas:
    """Counts for each key.

    Args:
        keys: Whose key a caller shows.
        clock: Tells when.
        standing: How something with a name stands.
    """

    def __init__(self, keys: Keys, clock: Clock, standing: Callable[[str], Awaitable[Standing]]) -> None:
        self._keys = keys
        self._clock = clock
        self._standing = standing
        self._accounts: dict[str, _Account] = {}

    def limited(self, path: str, named: Callable[[Any], str]) -> Wrap:
        """What holds the callers of an RPC to their quotas.

        Args:
            path: The RPC, which creates something: ``/package.Service/Call``.
            named: The name of what was created, from the answer.
        """

        def wrap(name: str, handler: Handler) -> Handler:
            return handler._replace(unary_unary=self._held(handler.unary_unary, named)) if name == path else handler

        return wrap

    def _held(self, behaviour: Callable[[Any, Context], Awaitable[Any]], named: Callable[[Any], str]) -> Any:  # noqa: ANN401 - a behaviour
        async def call(request: Any, context: Context) -> Any:  # noqa: ANN401 - any message
            shown = api_keys.presented(context.invocation_metadata())
            key = self._keys.find(shown) if shown else None
            if key is None or not (key.conversations or key.creations):
                return await behaviour(request, context)
            account = self._accounts.setdefault(key.name, _Account())
            await self.admit(key, account)
            account.pending += 1
            try:
                answer = await behaviour(request, context)
                if key.conversations:
                    account.going_on.setdefault(named(answer), self._clock.monotonic())
            finally:
                account.pending -= 1
            return answer

        return call

    def going_on(self, name: str) -> int:
        """How many of a key's conversations are kept in mind: those that a quota counts.

        Args:
            name: Of the key.
        """
        account = self._accounts.get(name)
        return len(account.going_on) if account else 0

    async def admit(self, key: Key, account: _Account) -> None:
        """Let one more through.

        Raises:
            ServiceError: QUOTA_EXCEEDED: not now.
        """
        now = self._clock.monotonic()
        while account.times and account.times[0] <= now - _MINUTE:
            account.times.popleft()
        if key.creations and len(account.times) >= key.creations:
            raise _exceeded(key, "creations", key.creations, "a minute", account.times[0] + _MINUTE - now)
        if key.conversations:
            if self._full(key, account) and account.looked <= now - _LOOK_AGAIN:
                account.looked = now
                await self._look(account)
            if self._full(key, account):
                raise _exceeded(key, "conversations", key.conversations, "at once", _RETRY)
        account.times.append(now)

    @staticmethod
    def _full(key: Key, account: _Account) -> bool:
        return len(account.going_on) + account.pending >= key.conversations

    async def _look(self, account: _Account) -> None:
        """Forget what is over."""
        names = list(account.going_on)[:_LOOKED_AT]
        found = await asyncio.gather(*(self._standing(name) for name in names))
        now = self._clock.monotonic()
        for name, standing in zip(names, found, strict=True):
            since = account.going_on.pop(name, now)
            if standing is Standing.BUSY or (standing is Standing.IDLE and since > now - _MINUTE):
                account.going_on[name] = since  # behind those that were not looked at


def _exceeded(key: Key, quota: str, most: int, per: str, wait: float) -> ServiceError:
    logs.get("api_keys").warning("quota exceeded", caller=key.name, quota=quota, most=most)
    return ServiceError(
        Reason.QUOTA_EXCEEDED,
        f"This key may have {most} {quota} {per}.",
        {"quota": quota, "limit": str(most)},
        retry_after=max(wait, 0.1),
    )
