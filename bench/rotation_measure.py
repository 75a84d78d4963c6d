"""From what was seen on both sides: the parts of each rotation."""

import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from bench.rotation_talk import Microphone
from bench.rotation_tap import Connection, Tap

_LATE = 0.02
"""Seconds beyond which a frame counts as delayed: the length of one."""


@dataclass(frozen=True)
class Measured:
    """One rotation, in seconds.

    Attributes:
        gap: From ``session:rotating`` to ``session:rotated``, as the client gets them.
        waiting: Of it, until the old connection was closed on both sides.
        connecting: From there until the setup arrived at the emulator.
        setup: From there until the client was told ``session:rotated``.
        replay: From there until the newest input was with the emulator again.
        delayed: The longest that a frame of the client took to the emulator.
        late: Frames that took longer than 20 ms.
        silence: From the agent's last sound before to its first after; None where it was not speaking.
    """

    gap: float
    waiting: float
    connecting: float
    setup: float
    replay: float
    delayed: float
    late: int
    silence: float | None


def measure(client: Microphone, tap: Tap, opened: list[Connection]) -> list[Measured]:
    """Every rotation of one conversation."""
    times = {kind: [at for name, at in client.told if name == kind] for kind in ("session:rotating", "session:rotated")}
    frames = sorted((at, tap.arrived[key] - at) for key, at in client.sent.items() if key in tap.arrived)
    rotations = zip(times["session:rotating"], times["session:rotated"], strict=False)
    return [
        found
        for began, ended in rotations
        for old, new in itertools.pairwise(opened)
        if new.set_up is not None
        and old.closed is not None
        and began - 0.1 <= new.set_up <= ended
        and (found := _one(client, frames, old.closed, new.set_up, (began, ended))) is not None
    ]


def _one(
    client: Microphone,
    frames: list[tuple[float, float]],
    closed: float,
    set_up: float,
    told: tuple[float, float],
) -> Measured | None:
    began, ended = told
    near = frames[bisect_left(frames, (began - 0.25, 0.0)) : bisect_right(frames, (ended + 0.25, 0.0))]
    held = [(at, took) for at, took in near if took > _LATE]
    if not near:
        return None
    closed = min(max(closed, began), set_up)
    caught_up = max((at + took for at, took in held), default=ended)
    return Measured(
        gap=ended - began,
        waiting=closed - began,
        connecting=set_up - closed,
        setup=ended - set_up,
        replay=max(0.0, caught_up - ended),
        delayed=max(took for _, took in near),
        late=len(held),
        silence=_silence(client, began, ended),
    )


def _silence(client: Microphone, began: float, ended: float) -> float | None:
    """How long an agent that was speaking could not be heard."""
    sounds = [at for name, at in client.told if name == "audio"]
    before = [at for at in sounds if at <= ended]
    after = [at for at in sounds if at > ended]
    spoke = before and after and before[-1] >= began - 0.1
    return after[0] - before[-1] if spoke else None
