"""A small production on one machine: two relays behind haproxy, a handle store, the emulator, each its own process."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc

from filo.handles.v1 import handles_pb2
from filo.handles.v1 import handles_pb2_grpc as handles_rpc
from filo.relay.v1 import relay_pb2_grpc as rpc
from services.cli.stack import free_ports
from services.common import grpc_client
from services.common.config import Address, parse_duration
from tests.support.handles import until
from tests.support.postgres import Server

START: Final = 60.0
"""Seconds in which a process is ready, on a busy machine."""
RELAYS: Final = ("a", "b")
_HAPROXY: Final = """
global
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout tunnel 1h
  option redispatch
  retries 3
frontend clients
  bind 127.0.0.1:{door}
  default_backend relays
backend relays
  balance leastconn
  option httpchk
  http-check send meth GET uri /ready ver HTTP/1.1 hdr Host relay
  timeout check 500ms
  default-server check inter 200ms fall 1 rise 1
  server a 127.0.0.1:{a}
  server b 127.0.0.1:{b}
"""


@dataclass
class Service:
    """One process, which may be ended and started again.

    Args:
        name: For a person.
        command: What runs.
        environ: All of its environment.
        log: Where its standard error goes.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    log: Path
    process: Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it says that it is ready.

        Raises:
            RuntimeError: It did not start.
        """
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, env=dict(self.environ), stdout=PIPE, stderr=log
            )
        async with asyncio.timeout(START):
            line = await self.process.stdout.readline() if self.process.stdout else b""
        if b" ready: " not in line:
            raise RuntimeError(f"{self.name} did not start: {self.log.read_text(encoding='utf-8')[-2000:]}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """End it; gives the seconds that it took."""
        began = asyncio.get_running_loop().time()
        self.send(number)
        if self.process is not None:
            await self.process.wait()
        return asyncio.get_running_loop().time() - began


@dataclass
class Fleet:
    """Everything that runs.

    Args:
        door: Where clients go, ``ws://``: the balancer.
        services: By name: ``handles``, ``emulator``, ``a``, ``b``.
        control: The control address of each relay.
        clients: The clients' address of each relay.
        account_url: The emulator's control API.
        handles: The handle store's address.
        lease: Seconds after which a holder that has given no sign of life is held for dead.
        database: What the handle store stores in, where it is no file.
    """

    door: str
    services: Mapping[str, Service]
    control: Mapping[str, Address]
    clients: Mapping[str, Address]
    metrics: Mapping[str, Address]
    account_url: str
    handles: Address
    lease: float
    database: Server | None = None
    _channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)

    def stub(self, relay: str) -> "rpc.RelayServiceAsyncStub":
        """The control API of a relay."""
        if relay not in self._channels:
            self._channels[relay] = grpc_client.channel(self.control[relay])
        return rpc.RelayServiceStub(self._channels[relay])

    async def holder(self, conversation: str) -> str | None:
        """The relay that holds a conversation, as the store knows it."""
        if "handles" not in self._channels:
            self._channels["handles"] = grpc_client.channel(self.handles)
        stub: handles_rpc.HandlesServiceAsyncStub = handles_rpc.HandlesServiceStub(self._channels["handles"])
        request = handles_pb2.GetConversationRequest(name=conversation)
        held = (await stub.GetConversation(request, timeout=START)).holder
        return next((relay for relay, address in self.control.items() if str(address) == held), None)

    async def account(self, stream: int) -> dict[str, Any] | None:
        """What the emulator really has of a voice."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.account_url}/v1/voices/{stream}") as answer:
            found: dict[str, Any] = await answer.json()
            return found if answer.status == HTTPStatus.OK else None

    async def metric(self, relay: str, name: str) -> float:
        """The sum of a metric's series at a relay."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{self.metrics[relay]}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))

    async def is_ready(self, relay: str) -> bool:
        """Whether a relay wants clients."""
        try:
            url, timeout = f"http://{self.clients[relay]}/ready", aiohttp.ClientTimeout(total=1.0)
            async with aiohttp.ClientSession(timeout=timeout) as http, http.get(url) as answer:
                return answer.status == HTTPStatus.OK
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def until_ready(self) -> None:
        """Wait until both relays want clients."""

        async def both() -> bool:
            return all([await self.is_ready(relay) for relay in RELAYS])

        await until(both, START)

    async def close(self) -> None:
        """Let go of what is open."""
        for channel in self._channels.values():
            await channel.close()


def _filo(name: str, environ: Mapping[str, str], directory: Path, log: str = "") -> Service:
    command = (sys.executable, "-m", "services.cli.main", name)
    return Service(log or name, command, environ, directory / f"{log or name}.log")


@asynccontextmanager
async def fleet(directory: Path, database: Server | None = None, **settings: str) -> AsyncIterator[Fleet]:
    """Run it while the context is open.

    Args:
        directory: For databases, keys and logs.
        database: What the handle store stores in, where it is no file.
        settings: More environment for all of them.

    Raises:
        RuntimeError: A process did not start, or haproxy is not installed.
    """
    ports = free_ports(13)
    where = [f"127.0.0.1:{port}" for port in ports]
    shared = {name: value for name, value in os.environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
    shared |= {
        "FILO_DATA_DIR": str(directory),
        "FILO_HANDLES_ADDRESS": where[0],
        "FILO_HANDLES_METRICS_ADDRESS": where[1],
        "FILO_EMULATOR_ADDRESS": where[2],
        "FILO_EMULATOR_CONTROL_ADDRESS": where[3],
        "FILO_RELAY_UPSTREAM_URL": f"wss://{where[2]}",
        "FILO_RELAY_UPSTREAM_CA": str(directory / "emulator-ca.pem"),
        "FILO_RELAY_TRANSPORT": os.environ.get("FILO_RELAY_TRANSPORT", ""),
        "FILO_RELAY_OVERLOADED_LAG": "0",  # how busy the machine of a drill is, is not what it is about
        "GEMINI_API_KEY": "emulator",
        **settings,
    }
    services = {name: _filo(name, shared, directory) for name in ("emulator", "handles")}
    sockets = {relay: where[4 + 3 * index : 7 + 3 * index] for index, relay in enumerate(RELAYS)}
    for relay, (clients, control, metrics) in sockets.items():
        own = {
            "FILO_RELAY_CLIENT_ADDRESS": clients,
            "FILO_RELAY_CONTROL_ADDRESS": control,
            "FILO_RELAY_METRICS_ADDRESS": metrics,
        }
        services[relay] = _filo("relay", shared | own, directory, f"relay-{relay}")
    addresses = {relay: [_address(text) for text in texts] for relay, texts in sockets.items()}
    running = Fleet(
        door=f"ws://{where[10]}",
        services=services,
        clients={relay: found[0] for relay, found in addresses.items()},
        control={relay: found[1] for relay, found in addresses.items()},
        metrics={relay: found[2] for relay, found in addresses.items()},
        account_url=f"http://{where[3]}",
        handles=_address(where[0]),
        lease=parse_duration(settings.get("FILO_HANDLES_LEASE", "30s")),
        database=database,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(running.close)
        if database is not None:
            await _migrate(services["handles"])
        for service in services.values():
            stack.push_async_callback(_finish, service)
        await services["emulator"].start()  # makes the certificate that relays trust
        async with asyncio.TaskGroup() as group:
            for name in ("handles", *RELAYS):
                group.create_task(services[name].start())
        await stack.enter_async_context(_balancer(directory, ports[10], running))
        await running.until_ready()
        yield running


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))


async def _migrate(handles: Service) -> None:
    """Make the schema, as an operator does before a deploy."""
    done = await asyncio.create_subprocess_exec(*handles.command, "migrate", env=dict(handles.environ), stdout=DEVNULL)
    if await done.wait():
        raise RuntimeError("the database was not migrated")


async def _finish(service: Service) -> None:
    service.send(signal.SIGCONT)
    await service.end(signal.SIGKILL)


@asynccontextmanager
async def _balancer(directory: Path, door: int, running: Fleet) -> AsyncIterator[None]:
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError("haproxy is not installed; run: tools/debian.sh haproxy=haproxy")
    config = directory / "haproxy.cfg"
    ports = {relay: address.port for relay, address in running.clients.items()}
    config.write_text(_HAPROXY.format(door=door, **ports), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(program, "-db", "-f", str(config), stdout=DEVNULL, stderr=DEVNULL)
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
