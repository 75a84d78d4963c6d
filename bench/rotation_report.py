"""The numbers of the rotation bench: reduced, and as a table."""

import os
import platform
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.rotation_measure import Measured
from bench.rotation_table import PARTS


def _spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Milliseconds: p50, p99, least and most; None where there is nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    at99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    numbers = {"p50": median(ordered), "p99": at99, "min": ordered[0], "max": ordered[-1]}
    return {name: round(value * 1000, 1) for name, value in numbers.items()}


def machine() -> dict[str, Any]:
    """Where it ran; what else ran there shows in the load."""
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_at_end": [round(load, 1) for load in os.getloadavg()],
    }


def cell(
    name: str,
    close_delay: float,
    found: Sequence[Measured],
    dialled: Sequence[tuple[float, float]],
    accounts: Sequence[Mapping[str, Any] | None],
    lost: int,
) -> dict[str, Any]:
    """Reduce one cell."""
    heard = [account["frames"] for account in accounts if account is not None]
    direct = _spread([connecting + setup for connecting, setup in dialled])
    report: dict[str, Any] = {
        "situation": name,
        "close_delay_ms": round(close_delay * 1000),
        "rotations": len(found),
        "direct": {
            "dials": len(dialled),
            "whole": direct,
            "connecting": _spread([connecting for connecting, _ in dialled]),
            "setup": _spread([setup for _, setup in dialled]),
        },
        "late_frames": _count([one.late for one in found]),
        "frames_lost": lost,
        "frames_missing_in_context": sum(frames["missing_in_context"] for frames in heard),
        "frames_repeated_in_context": sum(frames["repeated_in_context"] for frames in heard),
    }
    for part in PARTS:
        report[part] = _spread([value for one in found if (value := getattr(one, part)) is not None])
    if name != "agent speaking":
        report["silence"] = None
    report["beyond_direct_ms"] = _beyond(report)
    return report | {"goal": _goal(report)}


def _count(frames: Sequence[int]) -> dict[str, float]:
    return {"p50": median(frames), "max": max(frames)} if frames else {}


def _beyond(report: Mapping[str, Any]) -> dict[str, float] | None:
    """What the rotation adds to a dial of one's own: the gap's percentiles less those of the direct dial's."""
    gap, direct = report["gap"], report["direct"]["whole"]
    if gap is None or direct is None:
        return None
    return {name: round(gap[name] - direct[name] - report["close_delay_ms"], 1) for name in ("p50", "p99")}


def _goal(report: Mapping[str, Any]) -> str:
    """Which goal of the issue is set for the cell, and whether it is met."""
    if report["gap"] is None:
        return "nothing measured"
    if report["close_delay_ms"]:
        met = report["gap"]["p99"] <= 1600  # noqa: PLR2004 - the goal
        return f"p99 at most 1,600 ms: {'met' if met else 'MISSED'}"
    beyond = report["beyond_direct_ms"]["p99"]
    return f"p99 at most 20 ms beyond the setup: {'met' if beyond <= 20 else 'MISSED'}"  # noqa: PLR2004 - the goal
