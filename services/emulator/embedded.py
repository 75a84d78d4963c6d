"""An emulator beside a program that is not asynchronous, or has a loop of its own: in a thread, on free ports."""

import asyncio
import json
import ssl
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.common.config import Address
from services.emulator import tls
from services.emulator.config import Settings
from services.emulator.service import listening

_ANY_PORT: Final = Address("127.0.0.1", 0)
_TIMEOUT: Final = 10.0
"""Seconds that the control API may take."""
QUICK: Final = {"speed": 50.0, "thinking": 0.02}
"""Settings with which a conversation takes a fiftieth of its real time: for tests."""


@dataclass(frozen=True, slots=True)
class EmbeddedEmulator:
    """An emulator that listens, seen from outside; every method may be called from any thread.

    Attributes:
        base_url: What google-genai takes as `base_url`: ``https://127.0.0.1:port``.
        control_url: The control API, ``http://127.0.0.1:port``.
        ca_path: The certificate authority to trust, a PEM file.
        ssl_context: A client context that trusts it.
    """

    base_url: str
    control_url: str
    ca_path: Path
    ssl_context: ssl.SSLContext

    @property
    def http_options(self) -> dict[str, Any]:
        """The `http_options` for ``genai.Client``: where it is and how to trust it."""
        trust = {"client_args": {"verify": self.ssl_context}, "async_client_args": {"ssl": self.ssl_context}}
        return {"base_url": self.base_url, **trust}

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which another program finds and trusts it."""
        ca = str(self.ca_path)
        return {"GOOGLE_GEMINI_BASE_URL": self.base_url, "SSL_CERT_FILE": ca, "NODE_EXTRA_CA_CERTS": ca}

    def plan(self, *faults: dict[str, Any]) -> None:
        """Plan faults, as the control API takes them.

        Raises:
            ValueError: One of them is no fault; says what is wrong.
        """
        self._call("/v1/faults", "POST", faults)

    def clear(self) -> None:
        """Forget all planned faults."""
        self._call("/v1/faults", "DELETE")

    def struck(self) -> list[dict[str, Any]]:
        """Every planned fault, with how often it has struck."""
        found: list[dict[str, Any]] = self._call("/v1/faults")["faults"]
        return found

    def conversations(self) -> list[dict[str, Any]]:
        """The conversations, newest first, in short."""
        found: list[dict[str, Any]] = self._call("/v1/conversations")["conversations"]
        return found

    def conversation(self, name: str) -> dict[str, Any]:
        """What the emulator really has of a conversation, whatever it was made of.

        Raises:
            ValueError: There is none of that id.
        """
        return self._call(f"/v1/conversations/{name}")

    def voices(self) -> list[int]:
        """The test voices that were heard."""
        found: list[int] = self._call("/v1/voices")["streams"]
        return found

    def voice(self, stream: int) -> dict[str, Any]:
        """What the emulator really has of a voice.

        Raises:
            ValueError: It was never heard.
        """
        return self._call(f"/v1/voices/{stream}")

    def _call(self, path: str, method: str = "GET", body: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.control_url + path, data, method=method)  # noqa: S310 - own address
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
        try:
            with opener.open(request, timeout=_TIMEOUT) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from error
        return answer


@contextmanager
def running(**settings: Any) -> Iterator[EmbeddedEmulator]:  # noqa: ANN401 - any field of Settings
    """Run an emulator in a thread until the context is left.

    Args:
        **settings: Fields of `Settings`; what is not given is quick (see `QUICK`), on free ports and in a directory of
            its own.

    Raises:
        TypeError: There is no such setting.
        StartupError: The emulator cannot start.
    """
    with tempfile.TemporaryDirectory() as directory:
        places = {"address": _ANY_PORT, "control_address": _ANY_PORT, "data_dir": Path(directory)}
        runner = _Runner(Settings(**{**places, **QUICK, **settings}))
        try:
            yield runner.start()
        finally:
            runner.stop()


class _Runner:
    """A thread with a loop in which one emulator runs."""

    def __init__(self, settings: Settings) -> None:
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)
        self._settings = settings
        self._ready = threading.Event()
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._emulator: EmbeddedEmulator | None = None
        self._error: BaseException | None = None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the emulator
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        stop = asyncio.Event()
        async with listening(self._settings) as where:
            directory = self._settings.data_dir
            self._stop = (asyncio.get_running_loop(), stop)
            self._emulator = EmbeddedEmulator(
                f"https://{where.address}",
                f"http://{where.control_address}",
                directory / tls.CA_FILE,
                tls.client_context(directory),
            )
            self._ready.set()
            await stop.wait()

    def start(self) -> EmbeddedEmulator:
        """The emulator, as soon as it listens; raises why it could not start."""
        self._thread.start()
        self._ready.wait()
        if self._emulator is None:
            raise self._error or RuntimeError("the emulator ended before it was ready")
        return self._emulator

    def stop(self) -> None:
        """End it, and wait for its end."""
        if self._stop is not None:
            loop, stop = self._stop
            loop.call_soon_threadsafe(stop.set)
        self._thread.join()
