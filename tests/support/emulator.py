"""An emulator in this process, on free ports, for tests of every room."""

import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.config import Address
from services.emulator import tls
from services.emulator.account import Account
from services.emulator.config import Settings
from services.emulator.faults import Plan
from services.emulator.service import listening

ANY_PORT = Address("127.0.0.1", 0)


@dataclass(frozen=True)
class RunningEmulator:
    """An emulator that listens.

    Attributes:
        url: Base URL of the WebSocket, ``wss://127.0.0.1:port``.
        control_url: Base URL of the control API, ``http://127.0.0.1:port``.
        ca_path: The CA to trust, PEM.
        ssl_context: A client context that trusts it.
        account: What the emulator has, as an object; `control_url` tells the same over HTTP.
        faults: What shall go wrong, as an object; may be changed at any time.
    """

    url: str
    control_url: str
    ca_path: Path
    ssl_context: ssl.SSLContext
    account: Account
    faults: Plan


@asynccontextmanager
async def running_emulator(**overrides: Any) -> AsyncIterator[RunningEmulator]:  # noqa: ANN401 - any field of Settings
    """Run an emulator with these settings (see `Settings`).

    Where they say nothing: a directory of its own, answers at 50 times real time, goAway after 3/4 of the lifetime.

    Raises:
        TypeError: There is no such setting.
        StartupError: The emulator cannot start.
    """
    with tempfile.TemporaryDirectory() as directory:
        fast = {"speed": 50.0, "thinking": 0.02}
        places = {"address": ANY_PORT, "control_address": ANY_PORT, "data_dir": Path(directory)}
        lead = {"goaway_lead": overrides["lifetime"] / 4} if "lifetime" in overrides else {}
        settings = Settings(**{**places, **fast, **lead, **overrides})
        async with listening(settings) as running:
            yield RunningEmulator(
                f"wss://{running.address}",
                f"http://{running.control_address}",
                settings.data_dir / tls.CA_FILE,
                tls.client_context(settings.data_dir),
                running.account,
                running.faults,
            )
