"""What breaks callers of the last release does not pass: a contract that is spoiled is red against its baseline."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FIELD: Final = "string session_token = "

BREAKS: Final = {
    "a field is renamed": (FIELD, "string session_jwt = "),
    "a field has another number": (FIELD + "2", FIELD + "77"),
    "a field has another type": (FIELD, FIELD.replace("string", "bytes")),
    "an RPC is gone": ("rpc EndSession(EndSessionRequest)", "rpc FinishSession(EndSessionRequest)"),
    "an RPC is no stream any more": ("returns (stream WatchSessionResponse)", "returns (WatchSessionResponse)"),
    "a service is renamed": ("service RelayService {", "service RelaysService {"),
}


def breaking(tree: Path) -> subprocess.CompletedProcess[str]:
    """What `make verify` asks of the contracts in a tree."""
    buf = Path(sys.executable).parent / "buf"
    against = ROOT / "protos/baseline.binpb"
    return subprocess.run(
        [buf, "breaking", "--against", against], cwd=tree, capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the contracts."""
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def test_the_contracts_break_nobody(tree: Path) -> None:
    """As they are, they are compatible with the last release's."""
    done = breaking(tree)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", BREAKS)
def test_a_break_is_found(tree: Path, what: str) -> None:
    """Each by itself, where it was made."""
    path = tree / "protos/filo/relay/v1/relay.proto"
    before, after = BREAKS[what]
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")
    done = breaking(tree)
    assert done.returncode != 0
    assert "relay.proto" in done.stdout, done.stdout + done.stderr
