"""The example of docs/clients.md runs in a page as it is printed."""

import re
from pathlib import Path

import pytest

from tests.browser.stage import PATIENCE, Talker

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
EXAMPLE = re.compile(r"<!-- example: browser -->\n```js\n(.*?)```", re.DOTALL)
AROUND = """
globalThis.shown = [];
const ids = { requestId: crypto.randomUUID(), shareToken: crypto.randomUUID() };
const headers = { "Content-Type": "application/json" };
const ask = () => fetch("/session", { method: "POST", headers, body: JSON.stringify(ids) });
const startSession = async () => ({ ...(await (await ask()).json()), shareToken: ids.shareToken });
const show = (turns) => (globalThis.shown = structuredClone(turns));
"""


async def test_the_example_for_browsers_does_what_it_says(at: Talker) -> None:
    """A module of the page, with a backend that gives sessions: it connects, talks, and shows the turns."""
    (example,) = EXAMPLE.findall(PAGE.read_text("utf-8"))
    imported, rest = example.split("\n", maxsplit=1)
    await at.page.goto(f"{at.stage.url}/tables.js")
    module = imported.replace("./", f"{at.stage.url}/") + AROUND + rest
    await at.page.evaluate("document.documentElement.innerHTML = ''")
    await at.page.add_script_tag(content=module, type="module")
    await at.page.wait_for_function("globalThis.shown?.[0]?.agent.includes('Ada')", timeout=PATIENCE * 1000)
    (turn,) = await at.page.evaluate("shown")
    assert turn["typed"] == ["My company is Brightwater."]
