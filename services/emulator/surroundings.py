"""What the parts of a session share: where effects, plans and moments go, and the source of all jitter."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from services.emulator.agenda import Agenda, Step
from services.emulator.brain import Brain
from services.emulator.config import Settings
from services.emulator.effects import Effect
from services.emulator.faults import Moment
from services.emulator.mishaps import Struck


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a part of a session can reach.

    Attributes:
        settings: How the emulator behaves.
        brain: Who answers.
        agenda: Where what comes later is planned.
        emit: Takes the effects.
        strike: Told of each moment at which a fault may strike, with the time; says what to do otherwise.
        chance: Source of all jitter.
    """

    settings: Settings
    brain: Brain
    agenda: Agenda[Step]
    emit: Callable[[Effect], None]
    strike: Callable[[Moment, float], Struck]
    chance: random.Random
