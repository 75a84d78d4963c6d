"""``filo health``: the container's health check."""

import asyncio
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from services.cli import health
from services.common import grpc_server
from services.common.config import Address

NOBODY = "127.0.0.1:1"
ANYWHERE = Address("127.0.0.1", 0)


async def free() -> Address:
    """An address on which nobody listens."""
    async with grpc_server.serving(ANYWHERE, [], lambda _: None) as address:
        pass
    return address


async def ask(environ: dict[str, str]) -> int:
    """Ask from a thread, as another process would."""
    return await asyncio.to_thread(health.run, environ)


async def test_one_service_that_serves_is_enough() -> None:
    """The image names the addresses of all; a container runs one."""
    probes = await free()
    async with grpc_server.serving(ANYWHERE, [], lambda _: None, probes=probes):
        wherever = Address("0.0.0.0", probes.port)  # noqa: S104 - what a pod's environment says
        for address in (probes, wherever):
            assert await ask({"FILO_RELAY_HEALTH_ADDRESS": NOBODY, "FILO_HANDLES_HEALTH_ADDRESS": str(address)}) == 0
    assert await ask({"FILO_RELAY_HEALTH_ADDRESS": NOBODY, "FILO_HANDLES_HEALTH_ADDRESS": str(probes)}) == 1


@pytest.mark.parametrize(("status", "code"), [(200, 0), (404, 1)])
async def test_the_emulator_is_asked_by_http(status: int, code: int) -> None:
    """At its control address."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        assert await ask({"FILO_EMULATOR_CONTROL_ADDRESS": f"127.0.0.1:{server.server_port}"}) == code
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert asked == ["/v1/health"]


@pytest.mark.parametrize("environ", [{}, {"FILO_RELAY_HEALTH_ADDRESS": "nonsense"}])
def test_nothing_to_ask(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what to set."""
    assert health.run(environ) == 2
    assert "FILO_RELAY_HEALTH_ADDRESS" in capsys.readouterr().err
