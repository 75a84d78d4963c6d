"""The suite as another team uses it: from the command line, in pytest, and over the wire against deaf servers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest
from typing_extensions import override

from services.common.config import Address
from services.contract import checks as contract
from services.contract import pytest_plugin, wire
from services.contract.target import Target
from tests.support.handles import running_handles
from tests.support.relay import running_relay
from tests.support.spoiled import Refusal, Spoiler, spoiled

SERVICE = "filo.handles.v1.HandlesService"
ROOT = Path(__file__).parents[3]


class WrongCode(Spoiler):
    """Nobody's conversation is refused with another status."""

    @override
    def refusal(self, path: str, refusal: Refusal) -> Refusal:
        return (grpc.StatusCode.UNKNOWN, *refusal[1:]) if refusal[0] is grpc.StatusCode.NOT_FOUND else refusal


@pytest.fixture(name="real")
async def _real(tmp_path: Path) -> AsyncIterator[Address]:
    async with running_handles(tmp_path) as handles:
        yield handles.address


async def run(*arguments: str, cwd: Path) -> tuple[int, str]:
    """A command of this environment's Python: its exit code and what it printed."""
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "gen", "clients/python"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return await process.wait(), printed.decode()


_PYTEST = (
    "-m",
    "pytest",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:cloudcoil",
    "-p",
    "services.contract.pytest_plugin",
)


async def test_the_command_line_is_green(real: Address, tmp_path: Path) -> None:
    """Against a server that keeps it: exit code 0, and a line for each check."""
    code, printed = await run("-m", "services.contract", str(real), cwd=tmp_path)
    assert code == 0, printed
    assert printed.count("kept   ") == len(contract.checks([SERVICE]))


async def test_the_command_line_is_red(real: Address, tmp_path: Path) -> None:
    """Against a server with one wrong status code: exit code 1, and what is wrong."""
    async with spoiled(real, [SERVICE], WrongCode()) as address:
        code, printed = await run("-m", "services.contract", str(address), cwd=tmp_path)
    assert code == 1
    assert "BROKEN HandlesService.GetConversation: nobody's name" in printed


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Exit code 2: nothing was held against anything."""
    code, printed = await run("-m", "services.contract", "127.0.0.1:1", cwd=tmp_path)
    assert code == 2
    assert "does not answer" in printed


async def test_pytest_is_green(real: Address, tmp_path: Path) -> None:
    """The plugin runs one test for each check, in a project that has nothing of ours but the package."""
    suite = ("--pyargs", "services.contract.suite", "--target", str(real))
    code, printed = await run(*_PYTEST, *suite, cwd=tmp_path)
    assert code == 0, printed
    assert f"{len(contract.checks([SERVICE]))} passed" in printed


async def test_pytest_is_red(real: Address, tmp_path: Path) -> None:
    """A wrong server fails the tests of what it gets wrong."""
    async with spoiled(real, [SERVICE], WrongCode()) as address:
        suite = ("--pyargs", "services.contract.suite", "--target", str(address), "-k", "GetConversation and nobody")
        code, printed = await run(*_PYTEST, *suite, cwd=tmp_path)
    assert code == 1
    assert "1 failed" in printed


@pytest_plugin.checks("filo.relay.v1.ReplicaService")
async def test_inside_other_tests(check: contract.Check, tmp_path: Path) -> None:
    """A project that starts a server in its own tests holds it to each check, in its own event loop."""
    async with running_relay(tmp_path) as relay:
        await check.run(Target(relay.where.control_address))


@asynccontextmanager
async def deaf(*, talks: bool) -> AsyncIterator[Address]:
    """An HTTP/2 server that never ends a call, and does not care about its deadline.

    Args:
        talks: It goes on sending after a call is cancelled.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        while not reader.at_eof():
            head = await reader.read(9)
            if len(head) < 9:
                break
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == 6:  # ping
                writer.write(head[:4] + b"\x01" + head[5:] + payload)
                if talks:
                    writer.write(b"\0\0\1\0\0" + (1).to_bytes(4, "big") + b"x")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Address(*server.sockets[0].getsockname()[:2])


async def test_a_deadline_that_the_server_does_not_keep(real: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that calls would hide it: the bare call shows that the server goes on."""
    async with deaf(talks=False) as address:
        found = await _over_the_wire(real, address, "ends at its deadline", monkeypatch)
    assert "s after its deadline" in found


async def test_a_cancelled_call_that_goes_on(real: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that goes on sending after the call was cancelled is red."""
    async with deaf(talks=True) as address:
        found = await _over_the_wire(real, address, "may be cancelled", monkeypatch)
    assert "goes on answering" in found


async def _over_the_wire(real: Address, address: Address, what: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a check finds when all is well but the bare call."""
    calling = wire.calling
    elsewhere = partial(_elsewhere, calling, Target(address))
    monkeypatch.setattr(wire, "calling", elsewhere)
    check = next(check for check in contract.checks([SERVICE]) if check.title.endswith(what))
    with pytest.raises(contract.BrokenError) as caught:
        await check.run(Target(real))
    return str(caught.value)


def _elsewhere(calling: object, target: Target, _: Target, *arguments: object) -> object:
    assert callable(calling)
    return calling(target, *arguments)
