"""`filo demo`: a conversation that dies at the connection limit, then one that does not, side by side."""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from rich import box
from rich.table import Table

from filo.simulator.v1 import simulator_pb2 as pb
from services.cli import records, report, stack, up
from services.cli.child import ChildError
from services.cli.interrupt import cancelled_by_signals
from services.cli.report import Check
from services.cli.screen import Screen
from services.cli.stack import Choices
from services.cli.supervisor import Supervisor
from services.cli.train_view import outcome, verdict
from services.cli.trainer import conduct
from services.common.config import Address
from services.common.errors import ServiceError
from services.common.lifecycle import EXIT_CANNOT_START, refuse

EXIT_NOT_SHOWN: Final = 1
"""The demo ran, and did not show what it is for."""

TURNS: Final = 40
SPEED: Final = 12.0
"""How much faster than real time both sides speak, so that it is over within about a minute."""

LIFETIME: Final = 6.0
"""Seconds an emulated connection lives; the real ones live about ten minutes."""

FEWEST_ROTATIONS: Final = 3
CUTS: Final = (12, 27)
"""Turns in whose middle the client's own socket is cut."""


class Act(NamedTuple):
    """One run: what is told before it, and what is run."""

    title: str
    story: str
    spec: pb.RunSpec


WITHOUT: Final = Act(
    "Act 1: without Filo",
    f"An AI prospect talks to an AI sales agent. Gemini Live ends every connection after {LIFETIME:g} s (this is an\n"
    "emulator; the real one: about ten minutes). Nothing resumes the conversation: watch it end at the limit.",
    pb.RunSpec(turns=TURNS, no_resume=True),
)
WITH: Final = Act(
    "Act 2: with Filo",
    "The same conversation, the same limits. Now the relay replaces each connection before it ends, and we also cut\n"
    f"the client's own socket in turns {' and '.join(map(str, CUTS))}. The agent must go on at the same turn,\n"
    "and still know what it was told before each cut: the prospect asks.",
    pb.RunSpec(turns=TURNS, cut_client_at_turns=CUTS),
)

# What the second act must show, beside nothing being lost.
SHOWN: Final = (
    *report.CHECKS,
    Check("the run completed", lambda r: r.outcome == "completed"),
    Check(f"all {TURNS} turns were planned", lambda r: r.turns_planned == TURNS),
    Check(
        f"the relay replaced the connection {FEWEST_ROTATIONS} times or more",
        lambda r: len(r.rotations) >= FEWEST_ROTATIONS,
    ),
    Check("the client came back after a cut of its socket", lambda r: len(r.client_reconnects) > 0),
    Check("facts were told, and every one was asked for", lambda r: 0 < r.facts.planted <= r.facts.asked),
    Check("lost and doubled were counted by the emulator", lambda r: r.counted_by == "emulator"),
)


def run(environ: Mapping[str, str], reports: Path) -> int:
    """The command.

    Args:
        environ: The user's environment; its Filo settings are left out, so that the demo is the same everywhere.
        reports: Where both reports go.

    Returns:
        The exit code: 0 when the first act was lost and the second lost nothing, 1 when not, 2 when the services could
        not start.
    """
    own = {name: value for name, value in environ.items() if not name.startswith(("FILO_", "GEMINI_"))}
    screen = Screen()
    try:
        with tempfile.TemporaryDirectory(prefix="filo-demo-") as scratch:
            return asyncio.run(_play(own, Path(scratch), reports, screen))
    except ChildError as error:
        for line in (f"{error}; the last that it said:", *error.lines):
            print(line, file=sys.stderr)
        return EXIT_NOT_SHOWN if error.started else EXIT_CANNOT_START
    except asyncio.CancelledError:
        return EXIT_NOT_SHOWN
    except (ServiceError, OSError) as error:
        return refuse("filo demo", str(error))


def shown(without: pb.Run, with_filo: pb.Run) -> list[str]:
    """What the two acts failed to show; empty when all is well."""
    wrong = [] if without.outcome == pb.OUTCOME_LOST else [f"act 1 was to be lost, and it is {outcome(without)}"]
    return wrong + [f"act 2: not so: {name}" for name in report.failed(with_filo.report, SHOWN)]


def comparison(without: pb.Run, with_filo: pb.Run) -> Table:
    """Both acts side by side."""
    table = Table(box=box.SIMPLE_HEAD, title="The same conversation, twice", title_justify="left")
    for heading in ("what was counted", "without Filo", "with Filo", ""):
        table.add_column(heading)
    table.add_row("how it ended", outcome(without), outcome(with_filo), "")
    pairs = zip(report.figures(without.report), report.figures(with_filo.report), strict=True)
    for before, after in pairs:
        table.add_row(after.name, before.value, after.value, verdict(good=after.good))
    return table


async def _play(environ: Mapping[str, str], scratch: Path, reports: Path, screen: Screen) -> int:
    choices = Choices(data_dir=scratch, connection_lifetime=LIFETIME, goaway_lead=LIFETIME / 3, speed=SPEED)
    where = stack.addresses({**environ, **dict.fromkeys(stack.SOCKETS, f"{stack.LOOPBACK}:0")})
    screen.say("Starting four services, each a process of its own:")
    async with Supervisor(scratch / "logs") as supervisor:
        with cancelled_by_signals():
            await up.launch(supervisor, stack.services(choices, environ, where), screen.say)
        address = where["FILO_SIMULATOR_ADDRESS"]
        without = await supervisor.guard(_act(WITHOUT, address, reports / "without", screen))
        with_filo = await supervisor.guard(_act(WITH, address, reports / "with", screen, without))
    return _conclude(without, with_filo, reports, screen)


async def _act(act: Act, address: Address, directory: Path, screen: Screen, baseline: pb.Run | None = None) -> pb.Run:
    screen.say("")
    screen.say(act.title, style="bold")
    screen.say(act.story)
    screen.say("")
    ended = await conduct(address, act.spec, screen)
    records.save_run(ended, directory, baseline)
    if ended.outcome == pb.OUTCOME_STOPPED:
        raise asyncio.CancelledError
    return ended


def _conclude(without: pb.Run, with_filo: pb.Run, reports: Path, screen: Screen) -> int:
    screen.say("")
    screen.show(comparison(without, with_filo))
    wrong = shown(without, with_filo)
    for line in wrong:
        screen.say(line, style="bold red")
    screen.say(f"Reports and transcripts: {reports / 'without'}, {reports / 'with'}")
    if wrong:
        return EXIT_NOT_SHOWN
    ends, cuts = len(with_filo.report.rotations), len(with_filo.report.client_reconnects)
    screen.say(
        f"Without Filo the conversation was over after {without.turns_completed} of {TURNS} turns. With Filo it went "
        f"through {ends} ends of its connection and {cuts} cuts of the client's socket, and lost nothing.",
        style="bold green",
    )
    return 0
