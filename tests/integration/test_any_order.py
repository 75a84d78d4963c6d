"""Services may be started in any order: each waits for what it needs, and none falls over."""

import asyncio
import os
import signal
import socket
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from filo.simulator.v1 import simulator_pb2, simulator_pb2_grpc
from services.common.config import Address
from services.common.errors import ServiceError
from services.common.grpc_client import channel
from services.common.grpc_server import LIVE
from tests.support import postgres
from tests.support.handles import postgres_environ, until

PATIENCE = 60.0
EACH = pytest.mark.parametrize("name", ["handles", "simulator"])
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def service(name: str, environ: dict[str, str], *arguments: str) -> AsyncIterator[Process]:
    """`filo handles` or `filo simulator` while the context is open."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FILO_")}
    sockets = (f"FILO_{name.upper()}_ADDRESS", f"FILO_{name.upper()}_METRICS_ADDRESS")
    anywhere = dict.fromkeys(sockets, "127.0.0.1:0")
    command = (sys.executable, "-m", "services.cli.main", name, *arguments)
    process = await asyncio.create_subprocess_exec(*command, env=own | anywhere | environ, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def environ_of(name: str, directory: Path, server: postgres.Server) -> dict[str, str]:
    """Settings of a service on a new database of a server that runs; the database has the service's schema."""
    made = await asyncio.to_thread(postgres_environ, directory, server)
    environ = {**made, "FILO_SIMULATOR_DATABASE_URL": made["FILO_HANDLES_DATABASE_URL"]}
    async with service(name, environ, "migrate") as migration:
        assert await asyncio.wait_for(migration.wait(), PATIENCE) == 0
    return environ


async def new_server() -> postgres.Server:
    """A PostgreSQL of the test's own, which runs."""
    server = await asyncio.to_thread(postgres.new_server)
    await asyncio.to_thread(server.start)
    return server


def at(name: str, database_url: str, directory: Path) -> dict[str, str]:
    """Settings of a service with a database that nobody has made ready for it."""
    return {"FILO_DATA_DIR": str(directory), f"FILO_{name.upper()}_DATABASE_URL": database_url}


async def waits(process: Process) -> None:
    """The process says what it waits for."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        assert b"waiting" in await process.stderr.readline()


async def ready(process: Process) -> str:
    """The line with which the process says that it is ready."""
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE)).decode()
    assert " ready: " in line
    return line


async def ends(process: Process) -> None:
    """The process ends in order when it is told to."""
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def shows(address: Address, word: int, name: str = "") -> None:
    """Health comes to say this."""

    async def said() -> bool:
        async with channel(address) as to:
            stub: Any = health_pb2_grpc.HealthStub(to)
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            except (ServiceError, grpc.RpcError):  # it listens not all of the time: there are two servers in turn
                return False
            return bool(answer.status == word)

    await until(said, PATIENCE)


@EACH
async def test_a_service_waits_for_its_database(name: str, tmp_path: Path) -> None:
    """PostgreSQL comes after it: no crash, no loop of restarts, unready where it is probed, and then it is ready."""
    server = await new_server()
    with socket.create_server(("127.0.0.1", 0)) as free:
        probes = Address("127.0.0.1", free.getsockname()[1])
    environ = {**await environ_of(name, tmp_path, server), f"FILO_{name.upper()}_HEALTH_ADDRESS": str(probes)}
    await asyncio.to_thread(server.stop)
    async with service(name, environ) as process:
        await waits(process)
        await shows(probes, NOT_SERVING)
        await shows(probes, SERVING, LIVE)
        await asyncio.to_thread(server.start)
        await ready(process)
        await shows(probes, SERVING)
        await ends(process)


@EACH
async def test_a_service_that_waits_can_be_stopped(name: str, tmp_path: Path) -> None:
    """SIGTERM ends it in order, although it never was ready."""
    async with service(name, at(name, f"postgresql://postgres@/filo?host={tmp_path}", tmp_path)) as process:
        await waits(process)
        await ends(process)


@asynccontextmanager
async def refusing(directory: Path, code: str, why: str) -> AsyncIterator[str]:
    """The URL of a PostgreSQL that refuses whoever connects, with an SQLSTATE, while the context is open."""
    fields = f"SFATAL\0VFATAL\0C{code}\0M{why}\0\0".encode()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        writer.write(b"E" + struct.pack("!I", 4 + len(fields)) + fields)
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(refuse, directory / ".s.PGSQL.5432"):
        yield f"postgresql://postgres@/filo?host={directory}"


@EACH
async def test_a_database_that_starts_up_is_waited_for(name: str, tmp_path: Path) -> None:
    """PostgreSQL listens before it serves, after a crash for long, and says so to whoever connects."""
    refused = refusing(tmp_path, "57P03", "the database system is starting up")
    async with refused as url, service(name, at(name, url, tmp_path)) as process:
        await waits(process)
        await ends(process)


@EACH
async def test_a_wrong_password_ends_it(name: str, tmp_path: Path) -> None:
    """Exit code 2: it will be as wrong a second later."""
    refused = refusing(tmp_path, "28P01", "password authentication failed")
    async with refused as url, service(name, at(name, url, tmp_path)) as process:
        _, told = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert (process.returncode, len(told.splitlines())) == (2, 1), told
    assert b"password authentication failed" in told


@EACH
async def test_what_no_waiting_helps_ends_it(name: str, tmp_path: Path) -> None:
    """No such database, one without the schema, and a URL that is none: a line, and exit code 2."""
    server = await asyncio.to_thread(postgres.server)
    missing, bare = server.url("nowhere"), await asyncio.to_thread(server.database)
    wrong = {missing: "does not exist", bare: "migrate", f"{bare}&sslmode=perhaps": "sslmode", "filo": "DATABASE_URL"}
    for url, why in wrong.items():
        async with service(name, at(name, url, tmp_path)) as process:
            _, told = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert (process.returncode, len(told.splitlines())) == (2, 1), told
        assert why in told.decode()


async def test_a_simulator_outlives_an_absence_of_its_database(tmp_path: Path) -> None:
    """PostgreSQL dies under it and comes back: the process stays, and answers again."""
    server = await new_server()
    environ = {**await environ_of("simulator", tmp_path, server), "FILO_LOG_LEVEL": "WARNING"}
    async with service("simulator", environ) as process:
        address = (await ready(process)).split("grpc ")[1].split(",")[0]
        host, _, port = address.rpartition(":")

        async def answers() -> bool:
            try:
                await stub.ListRuns(simulator_pb2.ListRunsRequest(), timeout=PATIENCE)
            except ServiceError:
                return False
            return True

        async with channel(Address(host, int(port))) as to:
            stub = simulator_pb2_grpc.SimulatorServiceStub(to)
            await until(answers, PATIENCE)
            await asyncio.to_thread(server.kill)
            assert process.stderr is not None
            async with asyncio.timeout(PATIENCE):
                assert b"database away" in await process.stderr.readline()
            assert not await answers()
            await asyncio.to_thread(server.start)
            await until(answers, PATIENCE)
        await ends(process)
