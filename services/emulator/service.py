"""The emulator as a process: two listening sockets, and what the ready line says about them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from services.common import lifecycle, logs
from services.common.clock import Clock, SystemClock
from services.common.config import Address
from services.common.lifecycle import StartupError, port_error
from services.emulator import control, tls, trust
from services.emulator.account import Account
from services.emulator.config import Settings
from services.emulator.faults import Plan
from services.emulator.server import SHUTDOWN_TIMEOUT, Emulator


@dataclass(frozen=True, slots=True)
class Running:
    """An emulator that listens.

    Attributes:
        address: Where its WebSocket really listens.
        control_address: Where its control API really listens.
        account: What it has.
        faults: What shall go wrong; may be changed while it runs.
    """

    address: Address
    control_address: Address
    account: Account
    faults: Plan


@asynccontextmanager
async def listening(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Listen until the context is left.

    Raises:
        StartupError: A port is in use, or the data directory cannot be used.
    """
    clock = clock or SystemClock()
    emulator = Emulator(settings, clock)
    try:
        ssl_context = await asyncio.to_thread(tls.server_context, settings.data_dir, settings.address.host, clock.now())
    except OSError as error:
        raise StartupError(f"cannot keep a certificate in {settings.data_dir}: {error.strerror}") from error
    server = web.AppRunner(emulator.application(), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT)
    controls = web.AppRunner(
        control.application(emulator.account, emulator.faults), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT
    )
    try:
        await server.setup()
        await controls.setup()
        site = web.TCPSite(server, *settings.address, ssl_context=ssl_context)
        control_site = web.TCPSite(controls, *settings.control_address)
        yield Running(
            await _listen(site, settings.address, server),
            await _listen(control_site, settings.control_address, controls),
            emulator.account,
            emulator.faults,
        )
    finally:
        await server.cleanup()
        await controls.cleanup()


@asynccontextmanager
async def serve(settings: Settings, clock: Clock | None = None) -> AsyncIterator[str]:
    """Run the emulator; entering says where it listens, for `lifecycle.run`, and below that how to trust it.

    Raises:
        StartupError: A port is in use, or the data directory cannot be used.
    """
    async with listening(settings, clock) as running:
        ca = settings.data_dir / tls.CA_FILE
        where = f"wss://{running.address} control http://{running.control_address} ca {ca}"
        yield f"{where}\n{trust.instructions(running.address, ca)}"


async def _listen(site: web.TCPSite, wanted: Address, runner: web.AppRunner) -> Address:
    try:
        await site.start()
    except OSError as error:
        raise port_error(wanted, error) from error
    return Address(wanted.host, runner.addresses[0][1])


def main(environ: Mapping[str, str]) -> int:
    """Run the emulator until SIGTERM or SIGINT, configured by `environ`; gives the process's exit code."""

    def start() -> AbstractAsyncContextManager[str]:
        settings = Settings.from_env(environ)
        logs.configure(settings.log_level)
        return serve(settings)

    return lifecycle.run("emulator", start)
