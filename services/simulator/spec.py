"""What a run is asked for: checked, and with its defaults filled in."""

import math
from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.common.errors import invalid
from services.simulator import persona
from services.simulator.config import Settings

MOST_TURNS: Final = 10_000
DEFAULT_TURNS: Final = 20
DEFAULT_PERSONA: Final = "enthusiastic"
SLOWEST: Final = 0.1
FASTEST: Final = 1000.0
MOST_CUTS: Final = 1_000

CHANNELS: Final = {"voice": pb.CHANNEL_VOICE, "text": pb.CHANNEL_TEXT}


def complete(asked: pb.RunSpec, settings: Settings) -> pb.RunSpec:
    """The spec of a run with nothing left open.

    Raises:
        ServiceError: INVALID_ARGUMENT that names the field.
        PersonaError: The shipped persona itself cannot be used.
    """
    spec = pb.RunSpec(
        persona=asked.persona or DEFAULT_PERSONA,
        turns=asked.turns or DEFAULT_TURNS,
        seed=asked.seed,
        no_resume=asked.no_resume,
        rotation=asked.rotation or pb.ROTATION_RELAY,
        channel=asked.channel or CHANNELS[settings.channel],
        cut_client_at_turns=sorted(set(asked.cut_client_at_turns)),
        speed=asked.speed or settings.speed,
        model=asked.model or settings.model,
    )
    if spec.no_resume:
        spec.rotation = pb.ROTATION_CLIENT
    _check(spec)
    return spec


def _check(spec: pb.RunSpec) -> None:
    if spec.persona not in persona.shipped():
        raise invalid("spec.persona", f"there is no {spec.persona!r}; shipped are {', '.join(persona.shipped())}")
    if not 1 <= spec.turns <= MOST_TURNS:
        raise invalid("spec.turns", f"must be 1 to {MOST_TURNS}, not {spec.turns}")
    if not math.isfinite(spec.speed) or not SLOWEST <= round(spec.speed, 6) <= FASTEST:
        raise invalid("spec.speed", f"must be {SLOWEST:g} to {FASTEST:g}, not {spec.speed:g}")
    if spec.rotation not in pb.Rotation.values():
        raise invalid("spec.rotation", f"{spec.rotation} is not a Rotation")
    if spec.channel not in pb.Channel.values():
        raise invalid("spec.channel", f"{spec.channel} is not a Channel")
    outside = [turn for turn in spec.cut_client_at_turns if not 1 <= turn <= spec.turns]
    if outside:
        raise invalid("spec.cut_client_at_turns", f"{outside[0]} is not a turn of this run, which has {spec.turns}")
