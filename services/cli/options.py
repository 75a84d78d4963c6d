"""The options of every subcommand, and how their texts are read."""

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


class Channel(StrEnum):
    """How prospect and agent speak."""

    VOICE = "voice"
    TEXT = "text"


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

Turns = Annotated[int, typer.Option(min=1, max=10_000, help="How many turns.", metavar="N")]
Persona = Annotated[str, typer.Option(help="Who the prospect is.", metavar="NAME")]
Report = Annotated[Path | None, typer.Option(help="Write report.json and transcript.txt there.", metavar="DIR")]
Seed = Annotated[int, typer.Option(help="The same seed says the same.", metavar="N")]
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
SimulatorAddress = Annotated[
    str, typer.Option("--address", help="The simulator.", envvar="FILO_SIMULATOR_ADDRESS", metavar="HOST:PORT")
]
NoResume = Annotated[bool, typer.Option("--no-resume", help="Without Filo: end at the first cut.")]

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
    if not all(word.isdecimal() and int(word) for word in words):
        raise typer.BadParameter(f"{text!r} is not a list of turns such as 7,19", param_hint=option)
    return [int(word) for word in words]


def address(option: str, text: str) -> Address:
    """Read ``HOST:PORT``.

    Raises:
        typer.BadParameter: It is none.
    """
    try:
        return parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
