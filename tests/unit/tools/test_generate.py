"""Generated files: what is committed is what would be generated."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tools import generate

PROTO = 'syntax = "proto3";\npackage demo.v1;\nmessage Thing { string name = 1; }\n'


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with one contract, generated, and the real documentation, deployment and requirements."""
    (tmp_path / "protos" / "demo" / "v1").mkdir(parents=True)
    (tmp_path / "protos" / "demo" / "v1" / "thing.proto").write_text(PROTO, encoding="utf-8")
    for directory in ("docs", "deploy"):
        shutil.copytree(generate.ROOT / directory, tmp_path / directory)
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(generate.ROOT / name, tmp_path)
    (tmp_path / "gen").mkdir()
    generate.write(tmp_path)
    return tmp_path


def test_what_is_committed_is_fresh() -> None:
    """This very tree: `make gen` would change nothing."""
    assert generate.stale() == []


def test_what_was_just_written_is_fresh(tree: Path) -> None:
    """The check and the writer agree, and stubs for types are made beside the code."""
    assert generate.stale(tree) == []
    assert (tree / "gen" / "demo" / "v1" / "thing_pb2.pyi").is_file()


def test_every_kind_of_difference_is_found(tree: Path) -> None:
    """A change, a missing file, a stale file, a table that was edited by hand."""
    made = tree / "gen" / "demo" / "v1"
    (made / "thing_pb2.py").write_text("# edited\n", encoding="utf-8")
    (made / "thing_pb2.pyi").unlink()
    (made / "gone_pb2.py").write_text("# its contract is gone\n", encoding="utf-8")
    page = tree / "docs" / "errors.md"
    page.write_text(page.read_text("utf-8").replace("`INTERNAL`", "`OTHER`"), encoding="utf-8")
    assert generate.stale(tree) == [
        "demo/v1/gone_pb2.py: stale, nothing makes it",
        "demo/v1/thing_pb2.py: differs",
        "demo/v1/thing_pb2.pyi: missing",
        "docs/errors.md: differs",
    ]


def test_writing_removes_what_nothing_makes_any_more(tree: Path) -> None:
    """After `make gen` nothing is stale, whatever was there before."""
    (tree / "gen" / "gone_pb2.py").write_text("", encoding="utf-8")
    assert generate.write(tree) == ["gone_pb2.py: stale, nothing makes it"]
    assert generate.stale(tree) == []


def test_a_contract_that_protoc_refuses_is_an_error(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The build stops and says where; what was generated before stays."""
    (tree / "protos" / "demo" / "v1" / "bad.proto").write_text("nonsense", encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError):
        generate.write(tree)
    assert "bad.proto" in capsys.readouterr().err
    assert (tree / "gen" / "demo" / "v1" / "thing_pb2.py").is_file()
