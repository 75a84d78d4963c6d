"""What the documentation says to paste works."""

import asyncio
import re
import sys
from pathlib import Path

from tests.support.emulator import RunningEmulator

PAGE = Path(__file__).parents[3] / "docs" / "emulator.md"


async def test_the_python_example(emulator: RunningEmulator) -> None:
    """The example for google-genai, with the address and the CA of this emulator, prints an answer and ends."""
    found = re.search(r"```python\n(import asyncio\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    code = found[1].replace("https://127.0.0.1:7443", emulator.url.replace("wss:", "https:"))
    code = code.replace(".filo/emulator-ca.pem", str(emulator.ca_path))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(30):
        printed, _ = await process.communicate()
    assert process.returncode == 0
    assert printed.decode().startswith("Hello, this is Filo from the emulator.")
