"""Who may call what, by API key or by certificate; the table of each service says what each role may do."""

from typing import Final

from services.common import api_keys, grpc_access, logs
from services.common.api_keys import Keys
from services.common.errors import Reason, ServiceError
from services.common.grpc_access import Table
from services.common.grpc_server import Context, Guard

_HOW: Final = "Show an API key that this service knows, as metadata `authorization: Bearer KEY` or `x-api-key: KEY`."


def guard(room: str, table: Table, keys: Keys | None, *, encrypted: bool) -> Guard | None:
    """What asks before each call of the services that have rows; health and reflection are for everybody.

    Whoever shows a key is judged by it alone, also with a certificate. Without either, and where neither is asked for,
    everybody who reaches the port is served: that is loopback only (`api_keys.read`).

    Args:
        room: Whose log says that somebody was refused.
        table: Who may make each call.
        keys: The keys; None where none are asked for.
        encrypted: Whether callers show certificates.
    """
    certified = grpc_access.guard(room, table) if encrypted else None
    if keys is None:
        return certified
    log = logs.get(room)
    services = {path.partition("/")[0] for path in table}

    def check(method: str, context: Context) -> None:
        path = method.removeprefix("/")
        service, _, call = path.partition("/")
        if service not in services:
            return
        shown = api_keys.presented(context.invocation_metadata())
        if shown is None and certified is not None:
            certified(method, context)
            return
        key = keys.find(shown) if shown else None
        if key is None:
            log.warning("caller without a good key", call=call, shown=shown is not None, peer=context.peer())
            raise ServiceError(Reason.API_KEY_INVALID, _HOW)
        if not grpc_access.may(table, path, key.roles):
            log.warning("caller not allowed", call=call, caller=key.name, roles=sorted(key.roles), peer=context.peer())
            raise ServiceError(
                Reason.CALLER_NOT_ALLOWED,
                f"A caller with this key may not call {call}.",
                {"call": call, "allowed": ",".join(sorted(table.get(path, ())))},
            )

    return check
