"""The options of every subcommand, and how their texts are read."""

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.stack import Upstream
from services.common.config import Address, parse_address, parse_duration


class Rotation(StrEnum):
    """Who replaces the upstream connection."""

    RELAY = "relay"
    CLIENT = "client"


class Prospect(StrEnum):
    """Who finds the prospect's words."""

    SCRIPTED = "scripted"
    GEMINI = "gemini"


class Channel(StrEnum):
    """How prospect and agent speak."""

    VOICE = "voice"
    TEXT = "text"


class Manager(StrEnum):
    """Who gives the agent private advice."""

    NONE = "none"
    RULES = "rules"
    GEMINI = "gemini"


class FeedbackPolicy(StrEnum):
    """How advice is brought to the agent."""

    AUTO = "auto"
    APPEND = "append"
    JUST_IN_TIME = "just_in_time"
    REPLACE = "replace"
    REBASE = "rebase"


class Role(StrEnum):
    """As whom the bearer of a key calls; the same words as in certificates."""

    PLATFORM = "platform"
    OPERATOR = "operator"
    SIMULATOR = "simulator"
    RELAY = "relay"


KeyName = Annotated[str, typer.Argument(help="Whose key it is, for logs.", metavar="NAME")]
RoleOption = Annotated[Role, typer.Option("--as", help="What its bearer may do.")]
KeyConversations = Annotated[
    int, typer.Option("--conversations", min=0, help="How many it may have at once; 0 for any number.", metavar="N")
]
KeyCreations = Annotated[
    int, typer.Option("--creations", min=0, help="How many it may create a minute; 0 for any number.", metavar="N")
]

UpstreamOption = Annotated[Upstream, typer.Option(help="Who answers.")]
Lifetime = Annotated[
    str,
    typer.Option(help="How long an emulated connection lives.", envvar="FILO_EMULATOR_LIFETIME", metavar="DURATION"),
]
GoawayLead = Annotated[
    str,
    typer.Option(help="How long before its end it says so.", envvar="FILO_EMULATOR_GOAWAY_LEAD", metavar="DURATION"),
]
DataDir = Annotated[
    Path, typer.Option(help="Where databases, keys and logs live.", envvar="FILO_DATA_DIR", metavar="DIR")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what the services log.")]

StackSpeed = Annotated[
    float,
    typer.Option(
        "--speed", min=0.1, max=1000, help="How much faster than real time both speak, with the emulator.", metavar="X"
    ),
]

MOST_TURNS = 10_000
Turns = Annotated[int, typer.Option(min=1, max=MOST_TURNS, help="How many turns.", metavar="N")]
Persona = Annotated[str, typer.Option(help="Who the prospect is: a shipped one, or a YAML file.", metavar="NAME|FILE")]
Agent = Annotated[str, typer.Option(help="Who sells: a shipped one, or a YAML file.", metavar="NAME|FILE")]
Faults = Annotated[
    str, typer.Option(help="What is broken on purpose: a shipped plan, or a YAML file.", metavar="NAME|FILE")
]
Chaos = Annotated[
    float, typer.Option(min=0, max=1, help="The chance of a fault in each turn, drawn by the seed.", metavar="P")
]
Report = Annotated[
    Path | None,
    typer.Option(
        help="Write what is left of the run there; only the page if it ends in .html."
        "  [a suite's default: reports/ and its name]",
        metavar="DIR|FILE.html",
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", help="Compare the report with this run.json or suite.json.", metavar="FILE"),
]
HtmlPage = Annotated[
    Path, typer.Option("--html", help="Where the page goes; a directory gets every file.", metavar="FILE.html|DIR")
]
RunOrFile = Annotated[
    str, typer.Argument(help="The run, `runs/ID` or ID; or a run.json or suite.json.", metavar="RUN|FILE")
]
ProspectOption = Annotated[Prospect, typer.Option("--prospect", help="Who finds the prospect's words.")]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(
        "--threshold", help="What a check allows, by its name, for example longest_gap_ms=2000.", metavar="CHECK=NUMBER"
    ),
]
SuiteFile = Annotated[Path | None, typer.Option("--suite", help="Run every run of this YAML file.", metavar="FILE")]
Parallel = Annotated[int, typer.Option(min=1, max=1000, help="How many runs of a suite at once.", metavar="N")]
Own = Annotated[bool, typer.Option("--own", help="Start services of its own for the run, with the emulator.")]
Judge = Annotated[bool, typer.Option("--judge", help="Let a Gemini text model judge the transcript too.")]
Seed = Annotated[int, typer.Option(min=-(2**63), max=2**63 - 1, help="The same seed says the same.", metavar="N")]
RotationOption = Annotated[Rotation, typer.Option("--rotation", help="Who replaces the connection to Gemini.")]
Cuts = Annotated[
    str, typer.Option("--cut-client-at", help="Cut the client's socket in the middle of these turns.", metavar="7,19")
]
ChannelOption = Annotated[
    Channel | None,
    typer.Option("--channel", help="How they speak; text for a real Gemini.  [default: the simulator's own]"),
]
Speed = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        max=1000,
        help="How much faster than real time the prospect speaks.  [default: the simulator's own]",
        metavar="X",
    ),
]
SIMULATOR = "127.0.0.1:7403"
SimulatorAddress = Annotated[
    str,
    typer.Option(
        "--address",
        help=f"The simulator.  [default: {SIMULATOR}; services of its own for a suite]",
        envvar="FILO_SIMULATOR_ADDRESS",
        show_default=False,
        metavar="HOST:PORT",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, one value a line.")]
RunName = Annotated[str, typer.Argument(help="The run, `runs/ID` or ID.", metavar="RUN")]
AfterSequence = Annotated[
    int, typer.Option("--after", min=0, max=2**63 - 1, help="Only events after this number.", metavar="N")
]
Newest = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most this many, newest first.", metavar="N")]
NoResume = Annotated[bool, typer.Option("--no-resume", help="Without Filo: end at the first cut.")]

ManagerOption = Annotated[
    Manager | None,
    typer.Option("--manager", help="Who gives the agent private advice after each turn.  [default: the persona's own]"),
]
FeedbackPolicyOption = Annotated[
    FeedbackPolicy | None,
    typer.Option("--feedback-policy", help="How advice is brought to the agent.  [default: the relay's own]"),
]

DemoReports = Annotated[Path, typer.Option("--reports", help="Where the reports of both acts go.", metavar="DIR")]


def seconds(option: str, text: str) -> float:
    """Read a duration.

    Raises:
        typer.BadParameter: It is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def turns(option: str, text: str) -> list[int]:
    """Read a list of turns, such as ``7,19``; empty for none.

    Raises:
        typer.BadParameter: Something in it is not the number of a turn.
    """
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    if not all(word.isdecimal() and 1 <= int(word) <= MOST_TURNS for word in words):
        raise typer.BadParameter(f"{text!r} is not a list of turns such as 7,19", param_hint=option)
    return [int(word) for word in words]


def thresholds(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Read thresholds such as ``longest_gap_ms=2000``; whether there is such a check, the simulator knows.

    Raises:
        typer.BadParameter: One of them is none.
    """
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError as error:
            raise typer.BadParameter(f"{text!r} is not CHECK=NUMBER", param_hint=option) from error
        if not math.isfinite(found[name.strip()]):
            raise typer.BadParameter(f"{text!r} is not CHECK=NUMBER", param_hint=option)
    return found


def only_given(ctx: typer.Context, option: str, known: Sequence[str]) -> None:
    """Refuse what would do nothing: options on the command line that are not for `option`.

    Raises:
        typer.BadParameter: There is one.
    """
    given = [name for name in ctx.params if getattr(ctx.get_parameter_source(name), "name", "") == "COMMANDLINE"]
    if others := [name for name in given if name not in known]:
        raise typer.BadParameter(
            f"--{others[0].replace('_', '-')} is for one run; what a suite's runs are like is said in its file",
            param_hint=option,
        )


def address(option: str, text: str) -> Address:
    """Read ``HOST:PORT``.

    Raises:
        typer.BadParameter: It is none.
    """
    try:
        return parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
