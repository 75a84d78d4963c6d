"""The control API: `filo.relay.v1.RelayService`."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlencode

from filo.handles.v1 import handles_pb2
from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common.errors import Reason, ServiceError, invalid
from services.common.grpc_server import Context
from services.relay.client import protocol
from services.relay.client.session_tokens import Claims, SessionTokens
from services.relay.control.desk import Desk
from services.relay.control.watching import Watch
from services.relay.core import events as on
from services.relay.live import LiveConversation
from services.relay.peers import FORWARDED, gone
from services.relay.registry import Registry
from services.relay.store import Store

SERVICE: Final = pb.DESCRIPTOR.services_by_name["RelayService"].full_name
_END_TIMEOUT: Final = 5.0
_LONGEST_REASON: Final = 200


class RelayServicer(rpc.RelayServiceServicer):
    """Creates, shows and ends sessions.

    Args:
        store: The handle store.
        tokens: Signs session tokens.
        registry: Where the conversations are.
        watch: Shows them.
        desk: Takes advice for them.
    """

    def __init__(self, store: Store, tokens: SessionTokens, registry: Registry, watch: Watch, desk: Desk) -> None:
        self._desk = desk
        self._watch = watch
        self._store = store
        self._tokens = tokens
        self._registry = registry

    async def CreateSession(  # noqa: N802 - the contract's name
        self,
        request: pb.CreateSessionRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> pb.CreateSessionResponse:
        """Store a conversation, give the token that opens its socket."""
        if request.mode not in protocol.MODE_NAMES:
            raise invalid("mode", "is required")
        create = handles_pb2.CreateConversationRequest(
            request_id=request.request_id,
            mode=request.mode,
            owner=request.owner,
            agent=request.agent,
            test=request.test,
        )
        conversation = await self._store.create(create)
        mode = protocol.MODE_NAMES[request.mode]
        user = None if mode in protocol.SHARED_MODES else request.owner.user_id
        token, expires = self._tokens.sign(Claims(conversation.name, mode, user))
        response = pb.CreateSessionResponse(
            conversation=conversation.name,
            session_token=token,
            websocket_path=f"{protocol.PATH}?{urlencode({'mode': mode})}",
        )
        response.expire_time.FromDatetime(expires)
        return response

    async def GetSession(  # noqa: N802 - the contract's name
        self,
        request: pb.GetSessionRequest,
        context: Context,
    ) -> pb.GetSessionResponse:
        """Read what a conversation is doing, wherever it is held."""
        session = await self._watch.session(request.conversation, forwarded=_forwarded(context))
        return pb.GetSessionResponse(session=session)

    async def EndSession(  # noqa: N802 - the contract's name
        self,
        request: pb.EndSessionRequest,
        context: Context,
    ) -> pb.EndSessionResponse:
        """End the conversation: here, at the replica that holds it, or in the store."""
        if len(request.reason) > _LONGEST_REASON:
            raise invalid("reason", f"has more than {_LONGEST_REASON} characters")
        reason = request.reason or "ended by the platform"
        live = self._registry.find(request.conversation)
        if live is not None:
            await _end(live, reason)
        elif _forwarded(context) or not await self._watch.end_elsewhere(request.conversation, reason):
            stored = (await self._store.get(request.conversation)).conversation
            if stored.state != resources.Conversation.STATE_ENDED:
                await self._end_stored(stored, reason)
        return pb.EndSessionResponse(session=await self._watch.session(request.conversation))

    async def _end_stored(self, stored: resources.Conversation, reason: str) -> None:
        """End a conversation in the store; its holder, if it has one, learns of it there.

        Raises:
            ServiceError: SERVICE_UNAVAILABLE: a relay has taken it in this moment.
        """
        try:
            await self._store.end(stored.name, stored.epoch, reason)
        except ServiceError as error:
            if error.reason is Reason.EPOCH_FENCED:
                raise gone() from error
            raise

    async def SendFeedback(  # noqa: N802 - the contract's name
        self,
        request: pb.SendFeedbackRequest,
        context: Context,
    ) -> pb.SendFeedbackResponse:
        """Store advice, and tell the holder of the conversation."""
        return await self._desk.send(request, forwarded=_forwarded(context))

    async def ListFeedback(  # noqa: N802 - the contract's name
        self,
        request: pb.ListFeedbackRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> pb.ListFeedbackResponse:
        """What became of the advice to a conversation."""
        return await self._desk.list(request)

    async def WatchSession(  # noqa: N802 - the contract's name
        self,
        request: pb.WatchSessionRequest,
        context: Context,
    ) -> AsyncIterator[pb.WatchSessionResponse]:
        """Stream what happens to a conversation, here or where it is held."""
        forwarded = _forwarded(context)
        async for event in self._watch.follow(request.conversation, request.after_sequence, forwarded=forwarded):
            yield event


def _forwarded(context: Context) -> bool:
    """Whether another replica passes the call on."""
    return FORWARDED in (key for key, _ in context.invocation_metadata() or ())


async def _end(live: LiveConversation, reason: str) -> None:
    live.post(on.EndAsked(reason))
    try:
        async with asyncio.timeout(_END_TIMEOUT):
            await live.finished.wait()
    except TimeoutError:
        raise ServiceError(Reason.STORE_UNAVAILABLE, "the end could not be stored in time; try again") from None
