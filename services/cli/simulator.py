"""`filo simulator`: the service, and under it the tool of whoever looks after its database."""

import importlib
import os
from typing import Annotated, Final

import typer

from services.cli import lifeline, settings

WHAT: Final = "Run training conversations with an AI prospect."

app = typer.Typer(
    name="simulator",
    cls=settings.SettingsGroup,
    help=f"{WHAT} Without a subcommand: until SIGTERM or Ctrl-C.",
    short_help=WHAT,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def service(context: typer.Context) -> None:
    """Run the service, unless a subcommand is named."""
    if context.invoked_subcommand is None:
        lifeline.hold(os.environ)
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it has to say, its errors say
        raise typer.Exit(importlib.import_module("services.simulator.service").main(os.environ))


@app.command()
def migrate(
    target: Annotated[str, typer.Argument(help="A revision, head or base.")] = "head",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Bring the database of the runs to a schema, forward or back."""
    from services.cli.telling import tell  # noqa: PLC0415 - only what runs is imported
    from services.common import logs  # noqa: PLC0415 - the same
    from services.simulator import tables  # noqa: PLC0415 - the same
    from services.simulator.config import Settings  # noqa: PLC0415 - the same

    async def work() -> dict[str, str]:
        logs.configure("ERROR")
        before, after = await tables.migrate(Settings.from_env(os.environ).database, target)
        return {"before": before, "after": after}

    raise typer.Exit(tell("filo simulator", work, as_json=as_json))
