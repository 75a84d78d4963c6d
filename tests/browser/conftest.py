"""One Chromium for all tests of the browser client; each test gets a page of its own that may not go wrong silently."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page

from tests.browser.stage import Stage, Talker, stage
from tests.support.browser import chromium, write_microphone
from tools.browser_demo import PAGE


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """The browser, with a microphone that speaks and pauses."""
    microphone = write_microphone(tmp_path_factory.mktemp("browser") / "microphone.wav")
    async with chromium(microphone) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def files() -> AsyncIterator[str]:
    """The browser client's files on a web server of their own; its base URL."""
    app = web.Application()
    app.router.add_static("/", Path(PAGE))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A relay that can be killed, and what it needs; for all tests."""
    async with stage(tmp_path_factory.mktemp("stage")) as ready:
        yield ready


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page whose uncaught errors fail the test."""
    context = await browser.new_context(permissions=["microphone"])
    page = await context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def at(page: Page, theatre: Stage) -> Talker:
    """A page that can talk, through a proxy, to a relay."""
    return Talker(page, theatre)
