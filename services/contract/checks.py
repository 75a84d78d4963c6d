"""Every check that a server is held to, made of the tables of cases."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.contract import handles, relay, schema, simulator, wire
from services.contract.cases import Case, PreparationError, broken, with_unknown_fields
from services.contract.methods import SERVICES, service_of, short
from services.contract.target import DEADLINE, Server, Target, reached

CASES: Final[tuple[Case, ...]] = (*handles.CASES, *relay.CASES, *simulator.CASES)
"""Every case of every service."""

_SOON: Final = 0.3
"""Seconds: the deadline of a call that is to reach it."""
_QUIET: Final = 0.1
"""Seconds in which nothing of a cancelled call may come."""
_STARTED: Final = 5.0
"""Seconds in which a server that has just been started serves."""
_LATE: Final = 2.0
"""Seconds after its deadline at which a call must be over at the server."""


class BrokenError(AssertionError):
    """The contract is broken: a line for each way in which it is."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold of a server.

    Args:
        service: The full name of the service.
        title: What must hold; unique.
        client: Whether it can only be seen with a client's socket (`Target.clients`).
        hold: Finds what is wrong.
    """

    service: str
    title: str
    client: bool
    hold: Callable[[Server], Awaitable[Sequence[str]]] = field(repr=False)

    async def run(self, target: Target) -> None:
        """Hold a server to it.

        Raises:
            BrokenError: It does not keep it.
        """
        async with reached(target) as server:
            try:
                wrong = await self.hold(server)
            except (PreparationError, LookupError, OSError, TimeoutError) as error:
                wrong = [str(error) or type(error).__name__]
            except grpc.aio.AioRpcError as error:
                wrong = [f"{error.code().name}: {error.details()}"]
        if wrong:
            raise BrokenError("\n".join(f"{self.title}: {line}" for line in wrong))


def checks(services: Iterable[str], *, clients: bool = True) -> list[Check]:
    """Every check of some services.

    Args:
        services: Their full names.
        clients: With those that need a client's socket.

    Raises:
        KeyError: One is not in the contract.
    """
    return [check for service in services for check in _of(service) if clients or not check.client]


def _of(service: str) -> list[Check]:
    paths = [f"/{service}/{method.name}" for method in SERVICES[service].methods]
    cases = [case for case in CASES if service_of(case.path) == service]
    found = [
        Check(service, f"{service}: reflection tells this contract", client=False, hold=partial(_schema, service)),
        Check(service, f"{service}: health", client=False, hold=partial(_health, service)),
    ]
    for case in cases:
        what = f"is refused as {case.refused}" if case.refused else "is answered"
        found.append(_check(case, what, _answers))
        if case.refused is None:
            found.append(_check(case, "is answered with unknown fields", _tolerates))
    for path in paths:
        case = next(case for case in cases if case.path == path and case.refused is None and not case.client)
        found += [_check(case, "ends at its deadline", _expires), _check(case, "may be cancelled", _cancels)]
    return found


def _check(case: Case, what: str, hold: Callable[[Case, Server], Awaitable[Sequence[str]]]) -> Check:
    title = f"{short(case.path)}: {case.title} {what}"
    return Check(service_of(case.path), title, case.client, partial(hold, case))


async def _schema(service: str, server: Server) -> Sequence[str]:
    return schema.differences(service, await schema.reflected(server, service))


async def _health(service: str, server: Server) -> Sequence[str]:
    stub: Any = health_pb2_grpc.HealthStub(server.channel)
    wrong = []
    for name in ("", service):
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            async with asyncio.timeout(_STARTED):
                async for answer in stub.Watch(request, metadata=server.target.metadata):
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        break
        except TimeoutError:
            wrong.append(f"{name or 'the server'} is not SERVING")
            continue
        answer = await stub.Check(request, timeout=DEADLINE, metadata=server.target.metadata)
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            wrong.append(f"{name or 'the server'} is SERVING to who watches, not to who asks")
    nobody = health_pb2.HealthCheckRequest(service="filo.nobody")
    try:
        await stub.Check(nobody, timeout=DEADLINE, metadata=server.target.metadata)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            wrong.append(f"a service that is not there is {error.code().name}, not NOT_FOUND")
    else:
        wrong.append("a service that is not there is answered")
    return wrong


async def _answers(case: Case, server: Server, change: Callable[[Message], Message] = lambda same: same) -> list[str]:
    async with server.asking() as asking:
        request = change(await case.ask(asking))
        return list(broken(case, request, await server.call(case.path, request)))


async def _tolerates(case: Case, server: Server) -> Sequence[str]:
    return await _answers(case, server, with_unknown_fields)


async def _expires(case: Case, server: Server) -> Sequence[str]:
    """A call is over at the server soon after its deadline, whoever waits for it."""
    async with server.asking() as asking:
        request = await case.ask(asking)
        began = time.monotonic()
        async with wire.calling(server.target, case.path, request.SerializeToString(), int(_SOON * 1000)) as call:
            try:
                async with asyncio.timeout(_SOON + _LATE):
                    await call.until_end()
            except TimeoutError:
                return [f"it goes on {time.monotonic() - began - _SOON:.1f} s after its deadline"]
    return []


async def _cancels(case: Case, server: Server) -> Sequence[str]:
    """Nothing of a cancelled call comes any more, and the server answers the next one."""
    async with server.asking() as asking:
        request = await case.ask(asking)
        async with wire.calling(server.target, case.path, request.SerializeToString(), int(DEADLINE * 1000)) as call:
            async with asyncio.timeout(DEADLINE):
                await call.cancel()
            if await call.heard_within(_QUIET):
                return ["the server goes on answering after the call was cancelled"]
    return [f"the next call: {line}" for line in await _answers(case, server)]
