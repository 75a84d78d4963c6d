"""The report in Chromium, opened from a file: quiet, hoverable, at home on a phone and in the dark."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from services.simulator.html import run, suite
from tests.unit.simulator.html.recorded import good_run, hostile_run
from tests.unit.simulator.html.recorded import suite as made

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = 360
PAGES: dict[str, Callable[[], str]] = {
    "run": lambda: run.page(good_run(12), good_run(5)),
    "long": lambda: run.page(good_run(150)),
    "suite": lambda: suite.page(made(*(good_run(4) for _ in range(12)), error="gone"), made(good_run(2))),
    "hostile": lambda: run.page(hostile_run()),
}


@pytest.fixture(params=PAGES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Each kind of page, as a file."""
    path = tmp_path / "report.html"
    path.write_text(PAGES[request.param](), encoding="utf-8")
    return path


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    """The page of one run."""
    path = tmp_path / "run.html"
    path.write_text(PAGES["run"](), encoding="utf-8")
    return path


@asynccontextmanager
async def opened(browser: Browser, path: Path, **context: Any) -> AsyncIterator[Page]:  # noqa: ANN401 - playwright's own
    """The page; fails if it asks for anything but itself, or if its console says anything."""
    profile = await browser.new_context(**context)
    page = await profile.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(path.as_uri())
    yield page
    await profile.close()
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert said == []


async def background(page: Page) -> str:
    """The colour behind everything."""
    return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))


async def test_a_page_opens_from_a_file_and_asks_for_nothing(browser: Browser, file: Path) -> None:
    """No request, no word in the console, no dialog: `opened` looks. Its plots are drawn, as wide as the page."""
    async with opened(browser, file, viewport={"width": 1200, "height": 900}) as page:
        for plot in await page.locator("main > section .plot > svg:visible").all():
            box = await plot.bounding_box()
            assert box
            assert box["width"] > 800
            assert box["height"] > 150


@pytest.mark.parametrize("width", [320, PHONE, 1024])
async def test_no_page_moves_sideways(browser: Browser, file: Path, width: int) -> None:
    """Nothing is wider than the screen, also with everything unfolded: wide tables move by themselves."""
    async with opened(browser, file, viewport={"width": width, "height": 740}) as page:
        await page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
        inner, outer = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert inner <= outer


async def test_the_pointer_shows_the_values(browser: Browser, run_file: Path) -> None:
    """Of the turn it is nearest to; they go when it goes."""
    async with opened(browser, run_file, viewport={"width": 1200, "height": 900}) as page:
        plot, tip = page.locator("#context .plot"), page.locator("#tip")
        await plot.scroll_into_view_if_needed()
        box = await plot.bounding_box()
        assert box
        await page.mouse.move(box["x"] + box["width"] * 2.6 / 12, box["y"] + 90)
        assert await tip.is_visible()
        assert await tip.locator("strong").inner_text() == "Turn 3"
        shown = await tip.locator("div").all_inner_texts()
        assert [row.split() for row in shown[:3]] == [["Whole", "context", "600"], ["Other", "200"], ["Agent", "150"]]
        assert any("Baseline" in row and "600" in row for row in shown)
        place = await tip.bounding_box()
        assert place
        assert place["x"] >= 0
        assert place["y"] + place["height"] <= box["y"]
        await page.mouse.move(5, 5)
        assert not await tip.is_visible()


async def test_the_keys_walk_along_a_plot(browser: Browser, run_file: Path) -> None:
    """Arrows, ends, Escape; Enter leads to the turn in the transcript."""
    async with opened(browser, run_file) as page:
        title = page.locator("#tip strong")
        await page.locator("#context .plot").focus()
        for key, expected in (
            ("ArrowRight", "Turn 1"),
            ("ArrowRight", "Turn 2"),
            ("End", "Turn 12"),
            ("Home", "Turn 1"),
        ):
            await page.keyboard.press(key)
            assert await title.inner_text() == expected
        await page.keyboard.press("Escape")
        assert not await title.is_visible()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")
        assert page.url.endswith("#turn-2")


async def test_a_finger_shows_values_and_leads_nowhere(browser: Browser, run_file: Path) -> None:
    """A tap shows the values within the screen, and the page stays where it is."""
    async with opened(browser, run_file, viewport={"width": PHONE, "height": 740}, has_touch=True) as page:
        plot = page.locator("#context .plot")
        await plot.tap()
        tip = await page.locator("#tip").bounding_box()
        assert tip
        assert tip["x"] >= 0
        assert tip["x"] + tip["width"] <= PHONE
        assert "#" not in page.url


async def test_light_and_dark(browser: Browser, run_file: Path) -> None:
    """The page follows the system, and text stands out against it as it should (WCAG AA: 4.5 to 1)."""
    seen = set()
    for scheme in ("light", "dark"):
        async with opened(browser, run_file, color_scheme=scheme) as page:
            seen.add(await background(page))
            for where in (
                "body",
                ".said",
                ".tile dt",
                ".verdict.bad",
                ".verdict.good",
                ".note",
                ".knot b",
                ".note .good",
            ):
                ratio = await page.evaluate(CONTRAST, where)
                assert ratio >= 4.5, (scheme, where, ratio)
    assert len(seen) == 2


async def test_a_link_to_a_run_of_a_suite_unfolds_it(browser: Browser, tmp_path: Path) -> None:
    """From the matrix as well as from outside; folded away before."""
    path = tmp_path / "suite.html"
    path.write_text(PAGES["suite"](), encoding="utf-8")
    async with opened(browser, path) as page:
        talk = page.locator("#run-3-turn-1")
        assert not await talk.is_visible()
        await page.locator('.matrix a[href="#run-3"]').click()
        await talk.wait_for(state="visible")
        assert await page.locator("details.story[open]").count() == 1


async def test_on_paper_it_is_light(browser: Browser, run_file: Path) -> None:
    """Printed, dark text stands on white, whatever the screen shows, and nothing that only a screen needs is there."""
    async with opened(browser, run_file, color_scheme="dark") as page:
        await page.emulate_media(media="print", color_scheme="dark")
        assert await background(page) == "rgb(255, 255, 255)"
        assert await page.evaluate(CONTRAST, "body") >= 4.5
        assert not await page.locator("nav").is_visible()


CONTRAST = """(where) => {
  const linear = (part) => ((part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(where);
  let behind = element;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const both = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
  return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
}"""
"""The contrast of an element's text against what is behind it (WCAG 2.1, 1.4.3)."""
