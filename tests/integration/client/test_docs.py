"""The example of docs/clients.md runs as it is printed."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.support.relay import SHARE_TOKEN, running_relay

PAGE = Path(__file__).parents[3] / "docs" / "clients.md"
EXAMPLE = re.compile(r"<!-- example: python -->\n```python\n(.*?)```", re.DOTALL)


async def test_the_example_in_python_does_what_it_says(tmp_path: Path) -> None:
    """A program of its own, with nothing but what a backend would give it: it talks, and prints the whole dialogue."""
    (program,) = EXAMPLE.findall(PAGE.read_text("utf-8"))
    async with running_relay(tmp_path) as relay:
        session = await relay.create()
        given = {
            "RELAY_URL": f"ws://{relay.where.client_address}{session.websocket_path}",
            "SESSION_TOKEN": session.session_token,
            "SHARE_TOKEN": SHARE_TOKEN,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-c",
            program,
            env={**os.environ, **given},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            printed, complaints = await process.communicate()
    assert (process.returncode, complaints.decode()) == (0, "")
    *_, ended, first, second = printed.decode().splitlines()
    assert ended == "ended: True, that was all"
    assert first.startswith("1. My company is Brightwater. -> Hello, this is Ada from Threadworks.")
    assert second.startswith("2. What is my company? -> ")
    assert "Brightwater" in second
