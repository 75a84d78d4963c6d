"""Chaos by a seed: in each turn a fault with some chance, drawn from a catalogue of what happens to real conversations.

No service is killed: that is for fault plans, in a stack of one's own.
"""

import random
from typing import Final

from services.simulator.faultplan import Fault, Plan, Target

INTERNAL: Final = {"code": 1011, "reason": "Internal error encountered."}
ABORTED: Final = {"code": 1008, "reason": "The operation was aborted."}

CATALOGUE: Final = (
    Fault(Target.EMULATOR, "close", "answer", {**INTERNAL, "after": 0.05}),
    Fault(Target.EMULATOR, "close", "heard", INTERNAL),
    Fault(Target.EMULATOR, "close", "turn", ABORTED),
    Fault(Target.EMULATOR, "cut", "activity", {"after": 0.03}),
    Fault(Target.EMULATOR, "cut", "answer", {"after": 0.02}),
    Fault(Target.EMULATOR, "goaway", "turn", {"time_left": 0.5, "ends_in": 0.5}),
    Fault(Target.EMULATOR, "stall", "answer", {"seconds": 0.3}),
    Fault(Target.NETWORK, "cut", "speech"),
    Fault(Target.NETWORK, "cut", "wait"),
    Fault(Target.NETWORK, "cut", "answer"),
    Fault(Target.NETWORK, "stall", "speech", {"seconds": 0.3}),
    Fault(Target.NETWORK, "slow", "answer", {"seconds": 0.5, "delay": 0.05}),
    Fault(Target.CLIENT, "cut", "speech"),
)
"""What chaos draws from; each is as likely as the others."""


def plan(probability: float, seed: int, turns: int) -> Plan:
    """The faults of a run: the same seed gives the same ones in the same turns.

    Args:
        probability: Of a fault in each turn but the first and the last, 0 to 1.
        seed: The run's.
        turns: How many the run has.
    """
    chance = random.Random(f"chaos/{seed}")  # noqa: S311 - repeatable on purpose
    faults = []
    for turn in range(2, turns):
        drawn = chance.choice(CATALOGUE)
        if chance.random() < probability:
            faults.append(_in(drawn, turn))
    return Plan(f"chaos {probability:g}", tuple(faults))


def _in(drawn: Fault, turn: int) -> Fault:
    return Fault(drawn.target, drawn.kind, drawn.moment, drawn.knobs, turns=(turn,), name="chaos")
