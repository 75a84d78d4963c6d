"""The relays that are compared, each a process of its own on the first core."""

import asyncio
import os
import shutil
import sys
import tempfile
import uuid
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from bench.relay.floor import PATH, RESTLESS_PATH
from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT, AgentConfig, Owner
from filo.relay.v1 import relay_pb2 as pb
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.cli.stack import addresses
from services.common import grpc_client

RELAY_CORE: Final = "0"
"""Where every contender runs."""
LOAD_CORE: Final = "1"
"""Where the load and the handle store run."""
_START: Final = 60.0
_OWNER: Final = Owner(share_token="share-token-of-the-bench")  # noqa: S106 - made up
_INSTRUCTION: Final = "Sell the thread. " * 6
RESTLESS: Final = "Sell the thread, restlessly."
"""The instruction of a conversation whose connections Gemini's stand-in ends when it is told to."""
_SOCKETS: Final = tuple(
    f"FILO_{name}_ADDRESS" for name in ("HANDLES", "HANDLES_METRICS", "RELAY_CLIENT", "RELAY_CONTROL", "RELAY_METRICS")
)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Gemini's stand-in.

    Args:
        url: ``wss://host:port``.
        ca: Whom to trust, a PEM file.
    """

    url: str
    ca: Path


@dataclass(frozen=True, slots=True)
class Process:
    """What a process has used so far.

    Args:
        pid: Which.
    """

    pid: int

    def cpu(self) -> float:
        """Seconds of processor time, all its threads together, to the nanosecond."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        return total / 1e9

    def memory(self) -> int:
        """Bytes that are its own: resident, without the files that it has mapped.

        Of those each process is told its share, so their size changes when a stranger that maps them comes or goes.
        """
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss_Anon:"):
                return int(line.split()[1]) * 1024
        raise ValueError(f"no memory is told of process {self.pid}")


@dataclass(frozen=True)
class Contender:
    """A relay that is ready.

    Args:
        name: As in the table.
        process: Of the relay; None where there is nothing between client and Gemini.
        url: Gives the URL for one more client.
        speaks_gemini: Clients speak Gemini's own protocol; otherwise audio is binary.
        beside: Another process that works for it, counted apart.
        metrics: Where it tells its own figures, ``host:port``, if it does.
    """

    name: str
    process: Process | None
    url: Callable[..., Awaitable[str]]
    speaks_gemini: bool = False
    beside: Process | None = None
    metrics: str | None = None


async def _spawn(
    stack: AsyncExitStack, core: str, command: Sequence[str], environ: Mapping[str, str], ready: bytes
) -> tuple[Process, str]:
    """Start a process on a core; gives it and what its ready line says."""
    process = await asyncio.create_subprocess_exec(
        "taskset", "-c", core, *command, env=dict(environ), stdout=PIPE, stderr=DEVNULL
    )

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    async with asyncio.timeout(_START):
        line = await process.stdout.readline() if process.stdout else b""
    if ready not in line:
        raise RuntimeError(f"{command[-1]} did not start")
    return Process(process.pid), line.decode().partition(": ")[2].strip()


async def filo(stack: AsyncExitStack, upstream: Upstream, **settings: str) -> Contender:
    """Relay and handle store as in production: every turn is stored."""
    data = stack.enter_context(tempfile.TemporaryDirectory())
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
    where = addresses({**environ, **dict.fromkeys(_SOCKETS, "127.0.0.1:0")})
    environ |= {name: str(address) for name, address in where.items()} | {
        "FILO_DATA_DIR": data,
        "FILO_RELAY_UPSTREAM_URL": upstream.url,
        "FILO_RELAY_UPSTREAM_CA": str(upstream.ca),
        "FILO_LOG_LEVEL": "WARNING",
        "GEMINI_API_KEY": "any",
        **settings,
    }
    command = (sys.executable, "-m", "services.cli.main")
    store, _ = await _spawn(stack, LOAD_CORE, (*command, "handles"), environ, b" ready: ")
    relay, _ = await _spawn(stack, RELAY_CORE, (*command, "relay"), environ, b" ready: ")
    channel = await stack.enter_async_context(grpc_client.channel(where["FILO_RELAY_CONTROL_ADDRESS"]))
    control = rpc.RelayServiceStub(channel)

    async def url(instruction: str = _INSTRUCTION) -> str:
        agent = AgentConfig(model="models/any", system_instruction=instruction)
        request = pb.CreateSessionRequest(
            request_id=str(uuid.uuid4()), mode=MODE_SALES_AGENT, owner=_OWNER, agent=agent, test=True
        )
        session = await control.CreateSession(request)
        query = {"mode": "sales_agent", "sessionToken": session.session_token, "shareToken": _OWNER.share_token}
        return f"ws://{where['FILO_RELAY_CLIENT_ADDRESS']}/ws/ai-voice?{urlencode(query)}"

    return Contender("Filo", relay, url, beside=store, metrics=str(where["FILO_RELAY_METRICS_ADDRESS"]))


async def filo_on_picows(stack: AsyncExitStack, upstream: Upstream) -> Contender:
    """The same on the compiled transport."""
    return replace(await filo(stack, upstream, FILO_RELAY_TRANSPORT="picows"), name="Filo on picows")


def _python(name: str, module: str) -> Callable[[AsyncExitStack, Upstream], Awaitable[Contender]]:
    async def start(stack: AsyncExitStack, upstream: Upstream) -> Contender:
        environ = os.environ | {"SSL_CERT_FILE": str(upstream.ca)}
        process, port = await _spawn(
            stack, RELAY_CORE, (sys.executable, "-m", module, upstream.url), environ, b" ready: "
        )

        async def url(instruction: str = _INSTRUCTION) -> str:
            return f"ws://127.0.0.1:{port}{RESTLESS_PATH if instruction == RESTLESS else '/'}"

        return Contender(name, process, url)

    return start


_HAPROXY: Final = """
global
    maxconn 4096
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen gemini
    bind 127.0.0.1:{port}
    server gemini {upstream}
"""


async def haproxy(stack: AsyncExitStack, upstream: Upstream) -> Contender:
    """A proxy in C that copies bytes and knows nothing; its clients speak Gemini's protocol.

    Raises:
        RuntimeError: haproxy is not installed.
    """
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError("haproxy is not installed; run: tools/debian.sh haproxy=haproxy")
    data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    port = addresses({"FILO_RELAY_CLIENT_ADDRESS": "127.0.0.1:0"})["FILO_RELAY_CLIENT_ADDRESS"].port
    (data / "haproxy.cfg").write_text(
        _HAPROXY.format(port=port, upstream=upstream.url.removeprefix("wss://")), encoding="ascii"
    )
    process = await asyncio.create_subprocess_exec(
        "taskset", "-c", RELAY_CORE, program, "-db", "-f", str(data / "haproxy.cfg"), stdout=DEVNULL, stderr=DEVNULL
    )

    async def end() -> None:
        process.kill()
        await process.wait()

    stack.push_async_callback(end)
    await _listening(port)

    async def url() -> str:
        return f"wss://127.0.0.1:{port}{PATH}"

    return Contender("haproxy, TCP", Process(process.pid), url, speaks_gemini=True)


async def _listening(port: int) -> None:
    async with asyncio.timeout(_START):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def nothing(_stack: AsyncExitStack, upstream: Upstream) -> Contender:
    """No relay: the load speaks to Gemini's stand-in itself. What this takes is the instrument's own."""

    async def url() -> str:
        return upstream.url + PATH

    return Contender("no relay", None, url, speaks_gemini=True)


CONTENDERS: Final[Mapping[str, Callable[[AsyncExitStack, Upstream], Awaitable[Contender]]]] = {
    "Filo": filo,
    "filo-picows": filo_on_picows,
    "floor": _python("bare floor", "bench.relay.floor"),
    "picows": _python("bare floor of picows", "bench.relay.floor_picows"),
    "sdk": _python("google-genai", "bench.relay.sdk"),
    "haproxy": haproxy,
    "none": nothing,
}
"""Everything that is compared, by the name that selects it."""


@asynccontextmanager
async def ready(names: Sequence[str], upstream: Upstream) -> AsyncIterator[list[Contender]]:
    """All of them, running side by side; only one is used at a time."""
    async with AsyncExitStack() as stack:
        yield [await CONTENDERS[name](stack, upstream) for name in names]
