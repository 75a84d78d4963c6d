"""What the documentation and the emulator itself say to paste works."""

import asyncio
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from services.common.config import Address
from services.emulator import faults, trust
from tests.support.emulator import RunningEmulator
from tests.support.genai import Talk, client, config, has_handle

PAGE = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")
EVENT = 50.0
pytest_plugins = ["pytester"]


def block(beginning: str) -> str:
    """The Python block of the page that begins so."""
    found = re.search(rf"```python\n({re.escape(beginning)}.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


async def run(*command: str, cwd: Path) -> str:
    """Run Python with these arguments; what it prints."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=cwd, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(EVENT):
        printed, told = await process.communicate()
    assert process.returncode == 0, printed.decode() + told.decode()
    return printed.decode()


async def test_the_python_example(emulator: RunningEmulator, tmp_path: Path) -> None:
    """The example for google-genai, with the address and the CA of this emulator, prints an answer and ends."""
    code = block("import asyncio\nimport ssl\n").replace(
        "https://127.0.0.1:7443", emulator.url.replace("wss:", "https:")
    )
    printed = await run("-c", code.replace(".filo/emulator-ca.pem", str(emulator.ca_path)), cwd=tmp_path)
    assert printed.startswith("Hello, this is Filo from the emulator.")


def test_the_fixture_in_another_project(pytester: pytest.Pytester) -> None:
    """A project with nothing but the documented files has working tests, with its own settings too."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(block("pytest_plugins") + block("import pytest\n\nfrom services.emulator import embedded"))
    pytester.makepyfile(block("import asyncio\n\nimport pytest"))
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:cloudcoil").assert_outcomes(passed=2)


async def test_what_the_emulator_prints(emulator: RunningEmulator) -> None:
    """The printed Python, pasted, makes a client that gets through; the JavaScript names the same place."""
    address = Address("127.0.0.1", int(emulator.url.rpartition(":")[2]))
    printed = trust.instructions(address, emulator.ca_path)
    code = re.search(r"google-genai:\n\n(.*?)\n\nJavaScript", printed, re.DOTALL)
    assert code is not None
    names: dict[str, genai.Client] = {}
    exec(textwrap.dedent(code[1]), names)  # noqa: S102 - that is the point
    config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    async with names["client"].aio.live.connect(model="gemini-3.8-live", config=config) as session:
        await session.send_realtime_input(text="Hello.")
        assert [message async for message in session.receive()]
    assert f'baseUrl: "https://{address}"' in printed
    assert f"NODE_EXTRA_CA_CERTS={emulator.ca_path}" in printed


@pytest.mark.parametrize("plan", re.findall(r"`(\{\"do\".*?\})`", PAGE))
def test_every_documented_fault(plan: str) -> None:
    """Each plan on the page can be read, and all its fields are known."""
    (fault,) = faults.read(plan)
    assert fault.when.value == json.loads(plan)["when"]


def test_every_kind_of_fault_and_every_moment_is_documented() -> None:
    """The tables of the page name them all."""
    for moment in faults.Moment:
        assert re.search(rf"^\| .*`{moment}`.* \|", PAGE, re.MULTILINE)
    for kind in ("close", "cut", "stall", "pongs", "forget", "suppress", "goaway"):
        assert re.search(rf"^\| `{kind}` \|", PAGE, re.MULTILINE)


def same_shape(shown: Any, real: Any, path: str = "") -> None:  # noqa: ANN401 - JSON
    """Whatever the page shows is in the real account at the same place, and of the same kind."""
    if isinstance(shown, dict):
        for name in shown.keys() - {"..."}:
            assert name in real, f"{path}.{name}"
            same_shape(shown[name], real[name], f"{path}.{name}")
        assert "..." in shown or shown.keys() == real.keys(), path
    elif isinstance(shown, list) and shown and isinstance(shown[0], dict):
        assert len(shown) <= len(real), path
        for index, item in enumerate(shown):
            same_shape(item, real[index], f"{path}[{index}]")
    elif shown is not None and real is not None and not isinstance(shown, list):
        assert isinstance(real, type(shown)), path


async def test_the_account_as_documented(emulator: RunningEmulator) -> None:
    """Both examples of the account have the fields that a conversation like theirs really has, and no others."""
    by_conversation, by_voice = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    live = client(emulator).aio.live
    async with live.connect(model="gemini-3.8-live", config=config(system_instruction="Your name is Ada.")) as session:
        first = Talk(session, stream=77)
        advice = types.Content(role="user", parts=[types.Part(text="[SALES_MANAGER_INSTRUCTION] Be brief.")])
        await session.send_client_content(turns=advice, turn_complete=False)
        await first.ask("My dog is Rex.")
    resumption = types.SessionResumptionConfig(handle=first.handle)
    async with live.connect(model="gemini-3.8-live", config=config(session_resumption=resumption)) as session:
        await Talk(session, stream=77, first_frame=first.frame).until(has_handle)
        same_shape(by_conversation, emulator.account.conversation("c1"))
        same_shape(by_voice, emulator.account.voice(77))
