"""The client's side of a conversation: one socket after another, each served until it ends, the newest in its place."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from services.common.errors import INTERNAL_DETAIL, MEANING, Reason
from services.relay.client.intake import Intake
from services.relay.client.link import ClientLink
from services.relay.client.outbox import Outbox
from services.relay.client.protocol import Request
from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.lease import Lease
from services.relay.sockets import Socket
from services.relay.upstream.inputs import cancelled

FAREWELLS: Final[Mapping[do.Farewell, int]] = {
    do.Farewell.OVER: 1000,
    do.Farewell.RECONNECT: 1012,
    do.Farewell.DRAIN: 1001,
    do.Farewell.REPLACED: MEANING[Reason.EPOCH_FENCED].close,
    do.Farewell.UPSTREAM_REFUSED: MEANING[Reason.UPSTREAM_REFUSED].close,
    do.Farewell.FAILED: MEANING[Reason.INTERNAL].close,
    do.Farewell.STORE_UNAVAILABLE: MEANING[Reason.STORE_UNAVAILABLE].close,
    do.Farewell.UPSTREAM_UNAVAILABLE: MEANING[Reason.UPSTREAM_UNAVAILABLE].close,
}
"""What the core closes a client's socket for, by close code."""


class Reception:
    """Serves the clients of one conversation.

    Args:
        outbox: What they are told.
        intake: Makes what takes in what one of them says.
        lease: Of the conversation; says whether anything may be sent.
        post: Told of their coming and going.
        left: Told of the close code of a socket that leaves nobody behind.

    Attributes:
        joins: How many sockets have come.
        closed: The conversation is over here: whoever is left is sent away once it has got everything.
    """

    def __init__(
        self,
        outbox: Outbox,
        intake: Callable[[], Intake],
        *,
        lease: Lease,
        post: Callable[[on.Event], None],
        left: Callable[[int | None], None],
    ) -> None:
        self.joins = 0
        self.closed = False
        self._outbox = outbox
        self._intake = intake
        self._lease = lease
        self._post = post
        self._left = left
        self._client: ClientLink | None = None

    @property
    def occupied(self) -> bool:
        """Whether a client's socket is open."""
        return self._client is not None

    async def attend(self, socket: Socket, request: Request, missed: Iterable[dict[str, Any]]) -> None:
        """Serve one client's socket until it ends.

        Args:
            socket: The WebSocket, its client proven to be the owner.
            request: What the client asks for.
            missed: What happened elsewhere since it was there; told before all else.

        Raises:
            ServiceError: MALFORMED_MESSAGE: the client sent what is not this protocol.
        """
        if self.closed:  # the conversation was let go of while this client was being let in
            await socket.close(FAREWELLS[do.Farewell.RECONNECT], "the conversation was let go of meanwhile")
            return
        link = ClientLink(socket, self._outbox, request.last_seen, first_here=self.joins == 0, lease=self._lease)
        previous, self._client = self._client, link
        self.joins += 1
        for message in missed:
            self._outbox.tell(message)
        self._post(on.ClientJoined(request.rotation, stranger=link.stranger))
        writing = asyncio.create_task(link.write())
        try:
            if previous is not None:
                await previous.replace(MEANING[Reason.SESSION_REPLACED].close, "another socket has taken over")
            if await self._intake().read(socket):
                await writing
        finally:
            if self._client is link:
                self._client = None
                self._left(socket.close_code)
                self._post(on.ClientLeft())
            if not self.closed:
                await cancelled(writing)
            await asyncio.wait([writing])

    def welcome(self, greeting: dict[str, Any]) -> None:
        """Let the client in that has come."""
        if self._client is not None:
            self._client.welcome(greeting)

    def dismiss(self, why: do.Farewell, detail: str) -> int | None:
        """Send the client away once it has got everything; gives the close code, None where nobody is there."""
        if self._client is None:
            return None
        self._client.say_farewell(FAREWELLS[why], detail)
        return FAREWELLS[why]

    def close(self) -> None:
        """Nothing more happens here: whoever was not told why is sent away."""
        self.closed = True
        if self._client is not None:
            self._client.say_farewell(MEANING[Reason.INTERNAL].close, INTERNAL_DETAIL)
