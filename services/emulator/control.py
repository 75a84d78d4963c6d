"""The control API: plain HTTP and JSON on loopback, for tests and tools.

======================== ===================================================================
``GET /v1/health``       ``{"status": "ok"}``
``GET /v1/voices``       the streams that were heard: ``{"streams": [123]}``
``GET /v1/voices/{n}``   the account of one voice stream (see `account`), or 404
``GET /v1/faults``       ``{"faults": [...]}``: what is planned, and how often it struck
``POST /v1/faults``      plan a fault or a list of them (see `faults`), or 400
``DELETE /v1/faults``    forget them all
======================== ===================================================================

Errors are ``{"error": "a sentence"}``.
"""

from aiohttp import web

from services.emulator import faults
from services.emulator.account import Account
from services.emulator.faults import Plan


def application(account: Account, plan: Plan) -> web.Application:
    """The web application that tells what is in `account`, and changes `plan`."""
    control = _Control(account, plan)
    app = web.Application()
    app.router.add_get("/v1/health", control.health)
    app.router.add_get("/v1/voices", control.voices)
    app.router.add_get("/v1/voices/{stream}", control.voice)
    app.router.add_get("/v1/faults", control.faults)
    app.router.add_post("/v1/faults", control.add_faults)
    app.router.add_delete("/v1/faults", control.clear_faults)
    return app


class _Control:
    def __init__(self, account: Account, plan: Plan) -> None:
        self._account = account
        self._plan = plan

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def voices(self, _: web.Request) -> web.Response:
        return web.json_response({"streams": list(self._account.voices)})

    async def voice(self, request: web.Request) -> web.Response:
        text = request.match_info["stream"]
        report = self._account.voice(int(text)) if text.isdecimal() and text.isascii() else None
        if report is None:
            return _error(404, f"No voice with the stream {text!r} was heard.")
        return web.json_response(report)

    async def faults(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": self._plan.report()})

    async def add_faults(self, request: web.Request) -> web.Response:
        try:
            self._plan.add(faults.read(await request.read()))
        except ValueError as error:
            return _error(400, f"These are no faults: {error}.")
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._plan.clear()
        return await self.faults(request)


def _error(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)
