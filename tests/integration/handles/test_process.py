"""The handle store as a process: what it prints, how it stops, what it leaves behind."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from filo.handles.v1 import handles_pb2 as pb
from filo.handles.v1 import handles_pb2_grpc
from services.common.config import Address, parse_address
from services.common.errors import ServiceError
from services.common.grpc_client import channel
from services.common.logs import fingerprint
from services.handles.config import Settings
from tests.support.handles import AGENT, OWNER, SHARE_TOKEN, RunningHandles, turn

_RUN = "import os, sys; from services.handles.service import main; sys.exit(main(os.environ))"
_TIMEOUT = 20.0


async def start(environ: Mapping[str, str]) -> Process:
    """Start the service as its own process, with nothing of this one's environment but the import path."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", _RUN, env={"PYTHONPATH": path, **environ}, stdout=PIPE, stderr=PIPE
    )


def on_free_ports(directory: Path) -> dict[str, str]:
    """An environment for one store."""
    return {
        "FILO_DATA_DIR": str(directory),
        "FILO_HANDLES_ADDRESS": "127.0.0.1:0",
        "FILO_HANDLES_METRICS_ADDRESS": "127.0.0.1:0",
        "FILO_LOG_LEVEL": "DEBUG",
    }


@asynccontextmanager
async def ready(environ: Mapping[str, str]) -> AsyncIterator[tuple[Process, str]]:
    """A process and its ready line; killed at the end if it still runs."""
    process = await start(environ)
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _TIMEOUT)
        yield process, line.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def finish(process: Process) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, err = await asyncio.wait_for(process.communicate(), _TIMEOUT)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def grpc_address(line: str) -> Address:
    """Where the ready line says that gRPC listens."""
    return parse_address(line.partition("grpc ")[2].partition(",")[0])


@asynccontextmanager
async def connected(line: str, environ: Mapping[str, str]) -> AsyncIterator[RunningHandles]:
    """A client of the process."""
    address = grpc_address(line)
    async with channel(address) as to:
        yield RunningHandles(address, Settings.from_env(environ), None, to)  # type: ignore[arg-type]  # another process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_ready_once_and_stops_when_told(tmp_path: Path, number: signal.Signals) -> None:
    """One line on standard output with every address, exit code 0, and a database without leftovers."""
    async with ready(on_free_ports(tmp_path)) as (process, line):
        assert line.startswith("handles ready: grpc 127.0.0.1:")
        assert line.endswith(f", database {tmp_path}/handles.db\n")
        metrics = line.partition("metrics ")[2].partition(",")[0]
        with await asyncio.to_thread(urlopen, metrics, timeout=_TIMEOUT) as page:
            assert b'filo_handles_attaches_total{result="attached"} 0.0' in page.read()
        process.send_signal(number)
        code, out, err = await finish(process)
    assert (code, out) == (0, "")
    assert [json.loads(entry)["level"] for entry in err.splitlines()] == ["warning", "info"]
    assert [path.name for path in _files(tmp_path)] == ["handles.db", "handles.key"]


async def test_bad_settings_are_told_at_once(tmp_path: Path) -> None:
    """One line for each, exit code 2, nothing made."""
    environ = {"FILO_DATA_DIR": str(tmp_path / "x"), "FILO_HANDLES_LEASE": "long", "FILO_HANDLES_ADDRESS": "here"}
    code, out, err = await finish(await start(environ))
    assert (code, out) == (2, "")
    assert [line.split(": ")[:2] for line in err.splitlines()] == [
        ["handles", "FILO_HANDLES_ADDRESS"],
        ["handles", "FILO_HANDLES_LEASE"],
    ]
    assert _files(tmp_path) == []


@pytest.mark.parametrize("setting", ["FILO_HANDLES_ADDRESS", "FILO_HANDLES_METRICS_ADDRESS"])
async def test_a_port_in_use_is_told(tmp_path: Path, setting: str) -> None:
    """One line that names the address, exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = await finish(await start({**on_free_ports(tmp_path), setting: address}))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"handles: cannot listen on {address}: ")
    assert "Traceback" not in err


async def test_a_database_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """One line, exit code 2."""
    (tmp_path / "handles.db").write_bytes(b"something else" * 100)
    code, out, err = await finish(await start(on_free_ports(tmp_path)))
    assert (code, out) == (2, "")
    assert err == (
        f"handles: cannot use the database {tmp_path}/handles.db: file is not a database; "
        "restore it, or name another one\n"
    )


async def test_an_answered_checkpoint_survives_a_kill(tmp_path: Path) -> None:
    """Whatever was acknowledged before SIGKILL, in the middle of more, is there after the restart."""
    environ = on_free_ports(tmp_path)
    acknowledged = 0
    async with ready(environ) as (process, line), connected(line, environ) as handles:
        created = await handles.create()
        await handles.attach(created)
        for number in range(1, 1000):
            writing = asyncio.ensure_future(handles.checkpoint(created, 1, number, secret=f"s{number}"))
            if number == 25:
                process.kill()
            try:
                acknowledged = (await writing).turn_count
            except ServiceError:
                break
    assert acknowledged >= 24
    async with ready(environ) as (_, line), connected(line, environ) as handles:
        turns = await handles.turns(created)
        assert len(turns) in (acknowledged, acknowledged + 1)
        assert turns == [turn(number) for number in range(1, len(turns) + 1)]
        assert (await handles.attach(created)).upstream_handle.secret == f"s{len(turns)}"


async def test_secrets_are_in_no_log_and_client_secrets_in_no_file(tmp_path: Path) -> None:
    """Tokens and handles of both kinds, what was said and how the agent is set up: not in logs, database or WAL."""
    environ = on_free_ports(tmp_path)
    guess = "rh_" + "G" * 43
    async with ready(environ) as (process, line), connected(line, environ) as handles:
        created = await handles.create()
        await handles.attach(created)
        resume = (await handles.checkpoint(created, 1, 1, secret="upstream-secret")).resume_handle
        await handles.attach(created, resume_handle=resume)
        await handles.attach(created, resume_handle=guess)
        for epoch, secret in ((1, "fenced-secret"), (3, "hole-secret")):
            with pytest.raises(ServiceError) as caught:
                await handles.checkpoint(created, epoch, 9, secret=secret)
            assert secret not in str(caught.value) + str(caught.value.metadata)
        request = pb.AttachConversationRequest(name=created.name, mode=created.mode, owner=OWNER, holder=resume)
        with pytest.raises(ServiceError) as caught:
            await handles_pb2_grpc.HandlesServiceStub(handles.channel).AttachConversation(request)
        assert resume not in str(caught.value)
        files = {path.name: path.read_bytes() for path in _files(tmp_path)}
        process.send_signal(signal.SIGTERM)
        _, _, log = await finish(process)
    files |= {f"{path.name} at rest": path.read_bytes() for path in _files(tmp_path)}
    assert len(files["handles.db-wal"]) > 10_000
    told = (turn(1).user_text, turn(1).agent_text, AGENT.system_instruction, "upstream-secret")
    for secret in (SHARE_TOKEN, resume, resume.removeprefix("rh_"), guess, *told):
        assert secret not in log
        assert not [name for name, content in files.items() if secret.encode() in content]
    for secret in ("fenced-secret", "hole-secret", *re.findall("[0-9a-f]{64}", (tmp_path / "handles.key").read_text())):
        assert secret not in log
    entries = [json.loads(entry) for entry in log.splitlines()]
    assert [entry["event"] for entry in entries].count("attached") == 3
    ignored = [entry for entry in entries if entry["event"] == "resume handle ignored"]
    assert [(entry["result"], entry["fingerprint"]) for entry in ignored] == [("unknown", fingerprint(guess))]


def _files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())
