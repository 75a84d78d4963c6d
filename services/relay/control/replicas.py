"""What other replicas ask: `filo.relay.v1.ReplicaService`."""

from typing import Final

from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.common.grpc_server import Context
from services.relay.registry import Registry

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ReplicaService"].full_name


class ReplicaServicer(rpc.ReplicaServiceServicer):
    """Gives conversations back.

    Args:
        registry: Where they are.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ReleaseConversation(  # noqa: N802 - the contract's name
        self,
        request: pb.ReleaseConversationRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> pb.ReleaseConversationResponse:
        """Give one back."""
        held = await self._registry.release(request.conversation, request.mode, request.owner)
        return pb.ReleaseConversationResponse(held=held)
