"""The command `filo`: parses the command line, and leaves the rest to one function a subcommand.

Nothing of a service is imported before its subcommand runs, so ``filo --help`` is quick and a service carries only
what it needs.
"""

import importlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli import lifeline, settings, stack
from services.common.config import parse_duration

SERVICES: Final = {
    "handles": "Keep what must survive: conversations, their handles and leases.",
    "relay": "Keep conversations going between clients and Gemini Live.",
    "simulator": "Run training conversations with an AI prospect.",
    "emulator": "Be a Gemini Live to develop and test against.",
}
"""Every service, in the words of its help."""

app = typer.Typer(
    name="filo",
    help="Filo keeps the thread: Gemini Live conversations that outlive every connection.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _service(name: str) -> Callable[[], None]:
    def run() -> None:
        lifeline.hold(os.environ)
        raise typer.Exit(importlib.import_module(f"services.{name}.service").main(os.environ))

    return run


for _name, _what in SERVICES.items():
    app.command(_name, help=f"{_what} Until SIGTERM or Ctrl-C.", short_help=_what, cls=settings.SettingsCommand)(
        _service(_name)
    )


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def up(
    upstream: Annotated[stack.Upstream, typer.Option(help="Who answers.")] = stack.Upstream.EMULATOR,
    connection_lifetime: Annotated[
        str,
        typer.Option(
            help="How long an emulated connection lives.", envvar="FILO_EMULATOR_LIFETIME", metavar="DURATION"
        ),
    ] = "10s",
    goaway_lead: Annotated[
        str,
        typer.Option(
            help="How long before its end it says so.", envvar="FILO_EMULATOR_GOAWAY_LEAD", metavar="DURATION"
        ),
    ] = "2s",
    data_dir: Annotated[
        Path, typer.Option(help="Where databases, keys and logs live.", envvar="FILO_DATA_DIR", metavar="DIR")
    ] = Path(".filo"),
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the services log.")] = False,
) -> None:
    """Run all services on this machine until Ctrl-C.

    Addresses are taken from each service's own settings (see `filo relay --help`), port 0 meaning any free one.
    """
    from services.cli import up as command  # noqa: PLC0415 - only what runs is imported

    choices = stack.Choices(upstream, data_dir, _seconds(connection_lifetime), _seconds(goaway_lead))
    raise typer.Exit(command.run(choices, os.environ, verbose=verbose, command=_called()))


def _called() -> str:
    """How the user calls this program: by its name when that finds it, else by the path that was used."""
    return "filo" if shutil.which("filo") else sys.argv[0]


def main() -> None:
    """The console script."""
    app(prog_name="filo")


if __name__ == "__main__":
    main()
