"""`filo handles`: the service, and under it the tools of whoever looks after its database."""

import importlib
import os
from typing import Annotated, Final

import typer

from services.cli import lifeline, settings

WHAT: Final = "Keep what must survive: conversations, their handles and leases."

app = typer.Typer(
    name="handles",
    cls=settings.SettingsGroup,
    help=f"{WHAT} Without a subcommand: until SIGTERM or Ctrl-C.\n\nThe subcommands work on the database itself, "
    "beside the services that use it, with the same settings and key file. None shows a secret or a word of a "
    "conversation.",
    short_help=WHAT,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Which = Annotated[
    str,
    typer.Argument(
        metavar="CONVERSATION",
        help="conversations/ID or ID; - reads a resume handle from standard input and means its conversation.",
    ),
]


@app.callback()
def service(context: typer.Context) -> None:
    """Run the service, unless a subcommand is named."""
    if context.invoked_subcommand is None:
        lifeline.hold(os.environ)
        raise typer.Exit(importlib.import_module("services.handles.service").main(os.environ))


@app.command()
def ls(
    most: Annotated[int, typer.Option("--most", "-n", min=1, max=100_000, help="How many.", metavar="N")] = 20,
    *,
    as_json: Json = False,
) -> None:
    """List conversations, the newest first."""
    from services.cli import handles_tools  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(handles_tools.ls(os.environ, most, as_json=as_json))


@app.command()
def show(which: Which, *, as_json: Json = False) -> None:
    """Show what is known of one conversation."""
    from services.cli import handles_tools  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(handles_tools.show(os.environ, which, as_json=as_json))


@app.command()
def revoke(which: Which, *, as_json: Json = False) -> None:
    """Take back every resume handle of a conversation that was given out; the conversation itself goes on."""
    from services.cli import handles_tools  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(handles_tools.revoke(os.environ, which, as_json=as_json))


@app.command()
def sweep(*, as_json: Json = False) -> None:
    """Delete now what is due by its age; the service does so by itself, again and again."""
    from services.cli import handles_tools  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(handles_tools.sweep(os.environ, as_json=as_json))


@app.command("rotate-keys")
def rotate_keys(
    *,
    new_key: Annotated[bool, typer.Option(help="Make a key; without, the first one of the file is used.")] = True,
    finish: Annotated[bool, typer.Option("--finish", help="Drop the keys that nothing is sealed with.")] = False,
    as_json: Json = False,
) -> None:
    """Seal with a new key from now on and re-encrypt the rest, beside the services; --finish drops the old keys."""
    from services.cli import handles_tools  # noqa: PLC0415 - only what runs is imported

    if finish:
        raise typer.Exit(handles_tools.finish_rotation(os.environ, as_json=as_json))
    raise typer.Exit(handles_tools.rotate_keys(os.environ, new_key=new_key, as_json=as_json))


@app.command()
def migrate(
    target: Annotated[str, typer.Argument(help="A revision, head or base.")] = "head", *, as_json: Json = False
) -> None:
    """Bring the database to a schema, forward or back."""
    from services.cli import handles_tools  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(handles_tools.migrate(os.environ, target, as_json=as_json))
