"""Who may call what, when callers show certificates.

A caller is who its certificate says (see `services.common.tls`): a relay's has the DNS name ``relay``, that of an
operator's own programs ``operator``. Whoever comes without TLS comes over loopback, or was let in on purpose
(``FILO_ALLOW_PLAINTEXT``): then nobody can be told from anybody, and every call is answered.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from filo.handles.v1 import handles_pb2
from services.common import logs, tls
from services.common.errors import Reason, ServiceError
from services.common.grpc_server import Context, Guard
from services.handles.metrics import Metrics

_SERVICE: Final = handles_pb2.DESCRIPTOR.services_by_name["HandlesService"].full_name


class Caller(StrEnum):
    """Whose certificates are known, by their DNS name."""

    RELAY = "relay"
    OPERATOR = "operator"


_RELAYS: Final = frozenset({Caller.RELAY})
_BOTH: Final = frozenset({Caller.RELAY, Caller.OPERATOR})

# Whatever gives out a secret, a transcript or the right to write is for relays alone. An operator's program may look,
# end and delete: what `filo handles` does on the machine of the database, it may do from elsewhere.
CALLERS: Final[Mapping[str, frozenset[Caller]]] = MappingProxyType(
    {
        "CreateConversation": _RELAYS,
        "GetConversation": _BOTH,
        "AttachConversation": _RELAYS,
        "HeartbeatConversation": _RELAYS,
        "Checkpoint": _RELAYS,
        "InvalidateUpstreamHandle": _RELAYS,
        "ValidateHandle": _RELAYS,
        "AddFeedback": _RELAYS,
        "ListFeedback": _RELAYS,
        "StreamTurns": _RELAYS,
        "ReleaseConversation": _RELAYS,
        "EndConversation": _BOTH,
        "DeleteConversation": _BOTH,
    }
)
"""Who may make each call. A call without a row is refused."""


def may(call: str, names: frozenset[str]) -> bool:
    """Whether a caller with a certificate for `names` may make a call of HandlesService."""
    return not names.isdisjoint(CALLERS.get(call, frozenset()))


def guard(metrics: Metrics) -> Guard:
    """What asks before each call; health and reflection are for every caller with a certificate.

    Args:
        metrics: Counts refusals, as any other refusal of the call.
    """
    log = logs.get("handles")

    def check(method: str, context: Context) -> None:
        service, _, call = method.removeprefix("/").partition("/")
        if service != _SERVICE:
            return
        names = tls.names(context.auth_context())
        if may(call, names):
            return
        log.warning("caller not allowed", call=call, caller=sorted(names), peer=context.peer())
        with metrics.call(call):
            raise ServiceError(
                Reason.CALLER_NOT_ALLOWED,
                f"A caller with this certificate may not call {call}.",
                {"call": call, "allowed": ",".join(sorted(CALLERS.get(call, ())))},
            )

    return check
