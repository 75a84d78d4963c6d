"""The control API: plain HTTP and JSON on loopback, for tests and tools.

============================== ===================================================================
``GET /v1/health``             ``{"status": "ok"}``
``GET /v1/conversations``      the conversations, newest first; ``?limit=`` up to 1,000, 100 if absent
``GET /v1/conversations/{id}`` the account of one conversation (see `account`), or 404
``GET /v1/refused``            the connections that never came to a conversation, newest first
``GET /v1/voices``             the streams that were heard: ``{"streams": [123]}``
``GET /v1/voices/{n}``         the account of one voice stream, or 404
``GET /v1/faults``             ``{"faults": [...]}``: what is planned, and how often it struck
``POST /v1/faults``            plan a fault or a list of them (see `faults`), or 400
``DELETE /v1/faults``          forget them all
============================== ===================================================================

Errors are ``{"error": "a sentence"}``.
"""

from typing import Final

from aiohttp import web

from services.emulator import faults
from services.emulator.account import Account
from services.emulator.faults import Plan

LISTED: Final = 100
"""How many conversations are listed where no limit is given."""
MOST_LISTED: Final = 1_000
"""How many can be asked for."""


def application(account: Account, plan: Plan) -> web.Application:
    """The web application that tells what is in `account`, and changes `plan`."""
    control = _Control(account, plan)
    app = web.Application()
    app.router.add_get("/v1/health", control.health)
    app.router.add_get("/v1/conversations", control.conversations)
    app.router.add_get("/v1/conversations/{id}", control.conversation)
    app.router.add_get("/v1/refused", control.refused)
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

    async def conversations(self, request: web.Request) -> web.Response:
        text = request.query.get("limit", str(LISTED))
        if not (text.isdecimal() and text.isascii() and 1 <= int(text) <= MOST_LISTED):
            return _error(400, f"The limit {text!r} is no number from 1 to {MOST_LISTED}.")
        return web.json_response({"conversations": self._account.listed(int(text))})

    async def conversation(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        report = self._account.conversation(name)
        if report is None:
            return _error(404, f"There is no conversation {name!r}.")
        return web.json_response(report)

    async def refused(self, _: web.Request) -> web.Response:
        return web.json_response({"connections": self._account.refusals()})

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
