"""The demonstration page of the browser client, beside the services of ``make up``: files, and one call for a session.

A page cannot speak gRPC and must not hold the right to make sessions: this small backend does it, as a platform's own
would. It listens on this machine only, and asks nobody who they are: it is for looking, not for serving.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aiohttp import web

from filo.handles.v1.resources_pb2 import MODE_SALES_AGENT, AgentConfig, Owner
from filo.relay.v1 import relay_pb2, relay_pb2_grpc
from services.common import grpc_client
from services.common.config import Address, ConfigError, Environment
from services.common.errors import ServiceError

PAGE: Final = Path(__file__).resolve().parent.parent / "clients" / "browser"
AGENT: Final = AgentConfig(
    model="models/gemini-2.5-flash-native-audio",
    system_instruction=(
        "Your name is Ada. You work for Northwind. You sell a training platform for sales teams by telephone. "
        "Answer in one or two short sentences, in the other's language, and remember what you are told."
    ),
)
PATIENCE: Final = 10.0
"""Seconds for a session to be made: a relay that was just started is waited for, not refused at the first try."""
_FILES: Final = "*.html", "*.css", "*.js"
_FRESH: Final = {"Cache-Control": "no-cache"}


class Demo:
    """The page and its backend.

    Args:
        relay: The relay's control API.
        client_url: The relay's clients' address, as a browser reaches it: ``ws://127.0.0.1:7400``.
    """

    def __init__(self, relay: "relay_pb2_grpc.RelayServiceAsyncStub", client_url: str) -> None:
        self._relay = relay
        self._client_url = client_url

    def application(self) -> web.Application:
        """What is served."""
        app = web.Application()
        app.router.add_get("/", self._index)
        app.router.add_post("/session", self._session)
        for path in sorted(path for pattern in _FILES for path in PAGE.glob(pattern)):
            app.router.add_get(f"/{path.name}", self._file)
        return app

    async def _index(self, _request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html", headers=_FRESH)

    async def _file(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / request.path.removeprefix("/"), headers=_FRESH)

    async def _session(self, request: web.Request) -> web.Response:
        """Make a session, or a fresh token for the one that the page has: the same ids give the same conversation."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise web.HTTPForbidden(text="only this page may ask")
        try:
            asked = await request.json()
            owner, request_id = Owner(share_token=asked["shareToken"]), str(asked["requestId"])
        except (ValueError, TypeError, KeyError) as error:
            raise web.HTTPBadRequest(text="requestId and shareToken are required") from error
        wanted = relay_pb2.CreateSessionRequest(
            request_id=request_id, mode=MODE_SALES_AGENT, owner=owner, agent=AGENT, test=True
        )
        try:
            made = await self._relay.CreateSession(wanted, timeout=PATIENCE, wait_for_ready=True)
        except ServiceError as error:
            raise web.HTTPBadGateway(text=f"The relay gives no session: {error.detail}") from error
        url = f"{self._client_url}{made.websocket_path}"
        return web.json_response({"url": url, "token": made.session_token, "conversation": made.conversation})


async def serve(environ: Mapping[str, str]) -> None:
    """Serve the page until cancelled.

    Raises:
        ConfigError: An address cannot be used.
        OSError: The port is taken.
    """
    env = Environment(environ, "FILO_")
    where = env.address("BROWSER_DEMO_ADDRESS", Address("127.0.0.1", 7480))
    control = env.address("RELAY_CONTROL_ADDRESS", Address("127.0.0.1", 7401))
    client = env.text("RELAY_CLIENT_URL", f"ws://{env.address('RELAY_CLIENT_ADDRESS', Address('127.0.0.1', 7400))}")
    env.check()
    async with grpc_client.channel(control) as channel:
        runner = web.AppRunner(Demo(relay_pb2_grpc.RelayServiceStub(channel), client).application())
        await runner.setup()
        try:
            await web.TCPSite(runner, where.host, where.port).start()
            print(f"The page is at http://{where}, for the relay at {client}. Ctrl-C stops it.", flush=True)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def main(environ: Mapping[str, str]) -> int:
    """Serve until Ctrl-C; returns the exit code."""
    try:
        asyncio.run(serve(environ))
    except KeyboardInterrupt:
        return 0
    except (ConfigError, OSError) as error:
        print(f"browser demo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
