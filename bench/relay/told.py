"""What a relay tells of itself, by its own metrics."""

import re
import urllib.request
from typing import Final

_SERIES: Final = re.compile(r"^(filo_\w+)(?:\{(.*?)\})? ([0-9.e+-]+)$", re.MULTILINE)
_LAG: Final = re.compile(r'le="([^"]+)"')


class Told:
    """What a relay tells of itself at a moment.

    Args:
        metrics: Where, ``host:port``.
    """

    def __init__(self, metrics: str) -> None:
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=30) as answer:
            self._series = _SERIES.findall(answer.read().decode())

    def sum(self, name: str, label: str = "") -> float:
        """Of all series of a name, with this in their labels."""
        return sum(float(value) for found, labels, value in self._series if found == name and label in labels)

    def lags(self) -> dict[float, float]:
        """The event loop's, by the upper bound in seconds."""
        return {
            float(found[1]): float(value)
            for name, labels, value in self._series
            if name == "filo_event_loop_lag_seconds_bucket" and (found := _LAG.search(labels))
        }


def lag_quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The upper bound of the bucket in which this share of the lags ends, milliseconds."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in after}
    total = max(counts.values(), default=0.0)
    return min((bound for bound, count in counts.items() if count >= share * total), default=float("inf")) * 1e3
