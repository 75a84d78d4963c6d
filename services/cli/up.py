"""`filo up`: every service on this machine, one process each, until Ctrl-C."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from services.cli import stack
from services.cli.child import ChildError
from services.cli.interrupt import cancelled_by_signals
from services.cli.stack import Choices, Upstream
from services.cli.supervisor import Service, Supervisor
from services.common.config import ConfigError
from services.common.lifecycle import EXIT_CANNOT_START, refuse

EXIT_CHILD_ENDED: Final = 1

Tell = Callable[[str], None]
"""Shows one line to the person at the terminal."""


def run(choices: Choices, environ: Mapping[str, str], *, verbose: bool = False, command: str = "filo") -> int:
    """Run the stack until SIGINT or SIGTERM.

    Args:
        choices: What to run.
        environ: The user's environment.
        verbose: Show what the services log.
        command: How this program is called, for the hint what to do next.

    Returns:
        The exit code: 0 after a signal, 1 when a service ended by itself, 2 when one could not start.
    """
    try:
        services = stack.services(choices, environ, stack.addresses(environ))
    except (ConfigError, stack.MissingKeyError) as error:
        return refuse("filo up", *(error.problems if isinstance(error, ConfigError) else [str(error)]))
    supervisor = Supervisor(choices.data_dir / "logs", _echo if verbose else None)
    try:
        return asyncio.run(_serve(supervisor, services, choices, command))
    except OSError as error:
        return refuse("filo up", f"{choices.data_dir}: {error.strerror or error}")


async def launch(supervisor: Supervisor, services: Sequence[Service], tell: Tell) -> None:
    """Start `services` one after the other, with one line each when it is ready.

    Raises:
        ChildError: One of them could not start.
    """
    for service in services:
        tell(f"  {service.name:<10} {await supervisor.start(service)}")


def explain(error: ChildError, logs: str) -> tuple[list[str], int]:
    """What to tell when a service is gone, and the exit code.

    Args:
        error: What happened.
        logs: Where all it printed can be read.
    """
    if not error.started and error.code == EXIT_CANNOT_START and error.own_words:
        return list(error.own_words), EXIT_CANNOT_START
    tail = [f"  {line}" for line in error.lines] or ["  (it printed nothing)"]
    return [f"{error}; all it printed is in {logs}/{error.name}.log, its last lines are:", *tail], EXIT_CHILD_ENDED


def greeting(choices: Choices, command: str) -> list[str]:
    """What to tell when everything runs."""
    lines = ["", f"All ready. In another terminal: {command} train --turns 10      Ctrl-C here stops everything."]
    if choices.upstream is Upstream.EMULATOR:
        lines += [
            f"Emulated connections end after {choices.connection_lifetime:g} s, so that you see it happen;",
            "real ones after about ten minutes, as here with: --connection-lifetime 10m --goaway-lead 60s",
        ]
    return lines


async def _serve(supervisor: Supervisor, services: Sequence[Service], choices: Choices, command: str) -> int:
    logs = str(choices.data_dir / "logs")
    _say(f"Starting Filo; logs are in {logs}")
    with cancelled_by_signals():
        try:
            async with supervisor:
                await launch(supervisor, services, _say)
                for line in greeting(choices, command):
                    _say(line)
                failure = await supervisor.watch()
        except asyncio.CancelledError:
            _say("Stopped.")
            return 0
        except ChildError as error:
            failure = error
    lines, code = explain(failure, logs)
    for line in lines:
        print(line, file=sys.stderr)
    return code


def _say(line: str) -> None:
    print(line, flush=True)


def _echo(name: str, line: str) -> None:
    print(f"{name:<10} | {line}", flush=True)
