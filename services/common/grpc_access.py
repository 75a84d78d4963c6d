"""Who may call what, when callers show certificates.

A caller is who its certificate says (see `services.common.tls`): a relay's has the DNS name ``relay``. Whoever comes
without TLS comes over loopback, or was let in on purpose (``FILO_ALLOW_PLAINTEXT``): then nobody can be told from
anybody, and every call is answered. Each service has a table of its own, with a row for each of its calls.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from services.common import logs, tls
from services.common.errors import Reason, ServiceError
from services.common.grpc_server import Context, Guard

Table = Mapping[str, frozenset["Caller"]]
"""Who may make each call, by its path without the first slash: ``filo.relay.v1.RelayService/CreateSession``."""


class Caller(StrEnum):
    """Whose certificates are known, by their DNS name."""

    RELAY = "relay"
    SIMULATOR = "simulator"
    PLATFORM = "platform"
    OPERATOR = "operator"


def may(table: Table, call: str, names: frozenset[str]) -> bool:
    """Whether a caller with a certificate for `names` may make a call. A call without a row is refused."""
    return not names.isdisjoint(table.get(call, frozenset()))


def guard(room: str, table: Table, refuse: Callable[[str, ServiceError], None] | None = None) -> Guard:
    """What asks before each call of the services that have rows; others (health, reflection) are for every caller.

    Args:
        room: Whose log says that somebody was refused.
        table: Who may make each call.
        refuse: Told of each refusal, with the call's name: counts it, for example.
    """
    log = logs.get(room)
    services = {path.partition("/")[0] for path in table}

    def check(method: str, context: Context) -> None:
        path = method.removeprefix("/")
        service, _, call = path.partition("/")
        if service not in services:
            return
        names = tls.names(context.auth_context())
        if may(table, path, names):
            return
        log.warning("caller not allowed", call=call, caller=sorted(names), peer=context.peer())
        error = ServiceError(
            Reason.CALLER_NOT_ALLOWED,
            f"A caller with this certificate may not call {call}.",
            {"call": call, "allowed": ",".join(sorted(table.get(path, ())))},
        )
        if refuse is not None:
            refuse(call, error)
        raise error

    return check


def paths(service: str, calls: Mapping[str, frozenset[Caller]]) -> dict[str, frozenset[Caller]]:
    """The rows of a service, by path.

    Args:
        service: Its full name.
        calls: Who may make each of its calls, by the call's name.
    """
    return {f"{service}/{call}": callers for call, callers in calls.items()}
