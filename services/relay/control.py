"""The control API: `filo.relay.v1.RelayService`."""

import asyncio
from typing import Any, Final
from urllib.parse import urlencode

from filo.handles.v1 import handles_pb2
from filo.handles.v1 import resources_pb2 as resources
from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common.errors import Reason, ServiceError, invalid
from services.common.grpc_server import Context
from services.relay import client_protocol as protocol
from services.relay.core import events as on
from services.relay.live import LiveConversation
from services.relay.registry import Registry
from services.relay.session_tokens import Claims, SessionTokens
from services.relay.store import CONTINUITY, Store, ledger_message

SERVICE: Final = pb.DESCRIPTOR.services_by_name["RelayService"].full_name
_END_TIMEOUT: Final = 5.0
_LONGEST_REASON: Final = 200


class RelayServicer(rpc.RelayServiceServicer):
    """Creates, shows and ends sessions.

    Args:
        store: The handle store.
        tokens: Signs session tokens.
        registry: Where the conversations are.
    """

    def __init__(self, store: Store, tokens: SessionTokens, registry: Registry) -> None:
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
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> pb.GetSessionResponse:
        """Read what a conversation is doing."""
        return pb.GetSessionResponse(session=await self._session(request.conversation))

    async def EndSession(  # noqa: N802 - the contract's name
        self,
        request: pb.EndSessionRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> pb.EndSessionResponse:
        """End the conversation, here or in the store."""
        if len(request.reason) > _LONGEST_REASON:
            raise invalid("reason", f"has more than {_LONGEST_REASON} characters")
        reason = request.reason or "ended by the platform"
        live = self._registry.find(request.conversation)
        if live is not None:
            await _end(live, reason)
        else:
            stored = (await self._store.get(request.conversation)).conversation
            if stored.state != resources.Conversation.STATE_ENDED:
                await self._store.end(stored.name, stored.epoch, reason)
        return pb.EndSessionResponse(session=await self._session(request.conversation))

    async def _session(self, name: str) -> pb.Session:
        await self._registry.settled(name)
        stored = await self._store.get(name)
        conversation = stored.conversation
        session = pb.Session(
            conversation=conversation.name,
            mode=conversation.mode,
            test=conversation.test,
            state=conversation.state,
            turn_count=conversation.turn_count,
            ledger=stored.ledger if stored.HasField("ledger") else None,
            create_time=conversation.create_time,
            end_time=conversation.end_time if conversation.HasField("end_time") else None,
        )
        live = self._registry.find(name)
        if live is not None:
            _add_live(session, live)
        return session


async def _end(live: LiveConversation, reason: str) -> None:
    live.post(on.EndAsked(reason))
    try:
        async with asyncio.timeout(_END_TIMEOUT):
            await live.finished.wait()
    except TimeoutError:
        raise ServiceError(Reason.STORE_UNAVAILABLE, "the end could not be stored in time; try again") from None


def _add_live(session: Any, live: LiveConversation) -> None:  # noqa: ANN401 - pb.Session, a generated class
    session.attached = True
    session.client_connected = live.client_connected
    session.turn_count = live.core.talk.last
    session.rotation_count = live.core.rotations
    session.reconnect_count = max(0, live.joins - 1)
    if live.core.continuity is not None:
        session.continuity = CONTINUITY[live.core.continuity]
    if live.core.coverage.ledger.context:
        session.ledger.CopyFrom(ledger_message(live.core.coverage.ledger))
