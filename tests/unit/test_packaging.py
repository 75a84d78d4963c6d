"""What is installed is all there, and what is locked is what is asked for."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, as `pip install .` builds it."""
    directory = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=50)
    (path,) = directory.glob("*.whl")
    return zipfile.ZipFile(path)


def committed(pattern: str, directory: str) -> set[str]:
    """Files of the tree that an installed Filo needs, by the path they are installed under."""
    base = ROOT / directory
    return {
        str(path.relative_to(base)) for path in base.glob(pattern) if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_every_file_of_services_contracts_and_client(wheel: zipfile.ZipFile) -> None:
    """Code, migrations, personas, generated contracts: nothing an installed service opens is missing."""
    wanted = committed("services/**/*", ".") | committed("filo/**/*", "gen") | committed("filo/**/*", "clients/python")
    assert any(name.endswith(".yaml") for name in wanted)
    assert any("/migrations/" in name for name in wanted)
    assert "filo/client/session.py" in wanted
    assert wanted - set(wheel.namelist()) == set()


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    """No tests, no tools, no data of a run: only the two packages and the wheel's own records."""
    assert {name.split("/")[0] for name in wheel.namelist()} == {
        "services",
        "filo",
        f"filo-{PROJECT['version']}.dist-info",
    }


def test_the_client_can_be_installed_alone(tmp_path: Path) -> None:
    """Its own wheel holds the client and nothing else, of the same version; it needs websockets and nothing else."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT / "clients/python", check=True, capture_output=True, timeout=50)
    (path,) = tmp_path.glob("filo_client-*.whl")
    names = {name for name in zipfile.ZipFile(path).namelist() if ".dist-info/" not in name}
    assert names == committed("filo/**/*", "clients/python")
    alone = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text("utf-8"))["project"]
    assert alone["version"] == PROJECT["version"]
    loaded = loaded_by(f"sys.path.insert(0, {str(path)!r}); import filo.client, filo.client.audio") - loaded_by("pass")
    optional = {"python_socks"}  # websockets takes it where it is there
    assert loaded - sys.stdlib_module_names - optional == {"filo", "websockets"}


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after a statement."""
    program = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=50)
    return set(done.stdout.split())


def test_the_command_is_installed(wheel: zipfile.ZipFile) -> None:
    """`filo` is the command line's own main."""
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "filo = services.cli.main:main" in wheel.read(name).decode()


def test_every_dependency_is_locked() -> None:
    """What pyproject.toml asks for, for running and for developing, is pinned in the lock."""
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    names = {re.split(r"[^A-Za-z0-9-]", need, maxsplit=1)[0] for need in asked}
    locked = set(re.findall(r"^([a-z0-9.-]+)(?:\[.*\])?==", LOCK, re.MULTILINE))
    assert names - locked == set()


def test_every_pin_has_a_hash_and_no_host() -> None:
    """Whatever index it comes from, it is the same file; and the lock names no index."""
    pins = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(pins) > 50
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []
    assert not re.search(r"https?://|--index-url|--find-links", LOCK)
