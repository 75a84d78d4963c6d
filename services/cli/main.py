"""The command `filo`: parses the command line, and leaves the rest to one function a subcommand.

Nothing of a service is imported before its subcommand runs, so ``filo --help`` is quick and a service carries only
what it needs.
"""

import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import typer

from services.cli import handles, lifeline, options, runs, settings, simulator, stack

SERVICES: Final = {
    "handles": handles.WHAT,
    "relay": "Keep conversations going between clients and Gemini Live.",
    "simulator": simulator.WHAT,
    "emulator": "Be a Gemini Live to develop and test against.",
}
"""Every service, in the words of its help."""
_OF_A_SUITE: Final = ("suite", "parallel", "report", "baseline", "address", "own", "no_resume")
"""The options of `filo train` that are for a suite; the others are of one run, and a suite's file says them."""

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
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what it has to say, its errors say
        raise typer.Exit(importlib.import_module(f"services.{name}.service").main(os.environ))

    return run


app.add_typer(handles.app)
app.add_typer(simulator.app)
app.add_typer(runs.app)
for _name, _what in SERVICES.items():
    if _name in {handles.app.info.name, simulator.app.info.name}:  # they have subcommands
        continue
    app.command(_name, help=f"{_what} Until SIGTERM or Ctrl-C.", short_help=_what, cls=settings.SettingsCommand)(
        _service(_name)
    )


@app.command()
def up(
    upstream: options.UpstreamOption = stack.Upstream.EMULATOR,
    connection_lifetime: options.Lifetime = "10s",
    goaway_lead: options.GoawayLead = "2s",
    speed: options.StackSpeed = 4.0,
    data_dir: options.DataDir = Path(".filo"),
    *,
    verbose: options.Verbose = False,
) -> None:
    """Run all services on this machine until Ctrl-C.

    Addresses are taken from each service's own settings (see `filo relay --help`), port 0 meaning any free one.
    """
    from services.cli import up as command  # noqa: PLC0415 - only what runs is imported

    choices = stack.Choices(
        upstream,
        data_dir,
        options.seconds("--connection-lifetime", connection_lifetime),
        options.seconds("--goaway-lead", goaway_lead),
        speed,
    )
    raise typer.Exit(command.run(choices, os.environ, verbose=verbose, command=_called()))


@app.command()
def train(  # noqa: PLR0913, PLR0917 - one argument an option
    ctx: typer.Context,
    turns: options.Turns = 20,
    persona: options.Persona = "enthusiastic",
    agent: options.Agent = "ada",
    faults: options.Faults = "",
    chaos: options.Chaos = 0.0,
    report: options.Report = None,
    baseline: options.Baseline = None,
    seed: options.Seed = 0,
    rotation: options.RotationOption = options.Rotation.RELAY,
    cut_client_at: options.Cuts = "",
    channel: options.ChannelOption = None,
    prospect: options.ProspectOption = options.Prospect.SCRIPTED,
    threshold: options.Thresholds = None,
    speed: options.Speed = None,
    manager: options.ManagerOption = None,
    feedback_policy: options.FeedbackPolicyOption = None,
    suite: options.SuiteFile = None,
    parallel: options.Parallel = 4,
    connection_lifetime: options.Lifetime = "6s",
    goaway_lead: options.GoawayLead = "2s",
    address: options.SimulatorAddress = "",
    *,
    own: options.Own = False,
    judge: options.Judge = False,
    no_resume: options.NoResume = False,
) -> None:
    """Start a training run in the services of `filo up`, and watch it; or a whole suite in services of its own.

    Exit code: 0 every check passed, 1 one failed or the run itself, 2 bad input, 3 could not run.
    """
    from services.cli import train as command  # noqa: PLC0415 - only what runs is imported
    from services.cli.records import Wanted  # noqa: PLC0415 - the same

    where = options.address("--address", address or options.SIMULATOR)
    if suite is not None:
        options.only_given(ctx, "--suite", _OF_A_SUITE)
        results = Wanted(report or Path("reports") / suite.stem, baseline)
        running = where if address and not own else None
        raise typer.Exit(command.run_suite(suite, parallel, running, results, os.environ, no_resume=no_resume))
    spec = command.specification(
        turns=turns,
        persona=persona,
        agent=agent,
        fault_plan=faults,
        chaos=chaos,
        seed=seed,
        no_resume=no_resume,
        rotation=rotation,
        channel=channel or "",
        prospect=prospect,
        judge=judge,
        thresholds=options.thresholds("--threshold", threshold or []),
        cut_client_at_turns=options.turns("--cut-client-at", cut_client_at),
        speed=speed or 0,
        manager=f"MANAGER_KIND_{(manager or 'unspecified').upper()}",
        feedback_policy=f"FEEDBACK_POLICY_{(feedback_policy or 'unspecified').upper()}",
    )
    choices = stack.Choices(
        connection_lifetime=options.seconds("--connection-lifetime", connection_lifetime),
        goaway_lead=options.seconds("--goaway-lead", goaway_lead),
        speed=speed or stack.OWN_SPEED,
    )
    raise typer.Exit(command.run(where, spec, Wanted(report, baseline), os.environ, choices if own else None))


@app.command()
def demo(reports: options.DemoReports = Path("reports/demo")) -> None:
    """See a conversation die at the connection limit, and then one that does not: two acts, about a minute.

    Exit code: 0 when the first was lost and the second lost nothing.
    """
    from services.cli import demo as command  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(command.run(os.environ, reports))


@app.command(name="api-key")
def api_key(
    name: options.KeyName,
    role: options.RoleOption = options.Role.PLATFORM,
    conversations: options.KeyConversations = 0,
    creations: options.KeyCreations = 0,
) -> None:
    """Make an API key for whoever calls the relay or the simulator, and the line that lets its bearer in."""
    from services.cli import api_key as command  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(command.run(name, role, conversations, creations))


@app.command()
def health() -> None:
    """Ask the service that runs here whether it serves: a container's health check.

    Exit code: 0 it does, 1 it does not, 2 the environment does not say where to ask.
    """
    from services.cli import health as command  # noqa: PLC0415 - only what runs is imported

    raise typer.Exit(command.run(os.environ))


@app.command()
def version() -> None:
    """Show the version."""
    typer.echo(f"filo {importlib.metadata.version('filo')}")


def _called() -> str:
    """How the user calls this program: by its name when that finds it, else by its path from here."""
    return "filo" if shutil.which("filo") else os.path.relpath(sys.argv[0])


def main() -> NoReturn:
    """The console script.

    All that a command opened is closed when it returns. What would follow is the interpreter's own end, in which gRPC
    may wait a whole minute for a thread of its pool: rarely, and for nothing. So it is left out.
    """
    code: object = 0
    try:
        app(prog_name="filo")
    except SystemExit as end:
        code = end.code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it is gone, or it is closed
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    main()
