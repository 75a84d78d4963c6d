"""The TypeScript declarations name what the module has, and every message of the protocol."""

import re
from typing import get_args

import pytest
from playwright.async_api import Page

from filo.client.messages import RelayMessage
from tools.browser_demo import PAGE

pytestmark = pytest.mark.asyncio(loop_scope="session")

TYPES = (PAGE / "filo-client.d.ts").read_text("utf-8")


async def test_the_types_declare_what_the_module_exports(page: Page, files: str) -> None:
    """No export without a type, no type without an export; and every method of a declared class is there."""
    await page.goto(f"{files}/tables.js")
    exported = await page.evaluate(
        """async (base) => {
          const module = await import(base + "/filo-client.js");
          const own = Object.getOwnPropertyNames;
          const methods = (kind) => [...own(kind.prototype ?? {}), ...own(kind)];
          return Object.fromEntries(Object.entries(module).map(([name, value]) => [name, methods(value)]));
        }""",
        files,
    )
    assert set(re.findall(r"^export (?:class|const|function) (\w+)", TYPES, re.MULTILINE)) == exported.keys()
    for name, body in re.findall(r"^export class (\w+)[^{]*\{\n(.*?)^\}", TYPES, re.MULTILINE | re.DOTALL):
        declared = set(re.findall(r"^  (?:static |set )?(\w+)\(", body, re.MULTILINE)) - {
            "constructor",
            "addEventListener",
        }
        assert declared <= set(exported[name]), name


async def test_the_types_know_every_message() -> None:
    """What the Python client reads from the protocol's page, the types name too."""
    kinds = {kind.TYPE for kind in get_args(RelayMessage)}
    assert kinds <= set(re.findall(r'type: "([a-zA-Z_:]+)"', TYPES))
