"""The voices of each turn, measured."""

import pytest

from services.relay.core import events as on
from services.relay.core.model import START, Usage
from services.relay.upstream.meter import Meter

SECOND = 48_000
COUNTED = on.UsageCounted(Usage(10, 5))


def measured(meter: Meter, voice: float) -> tuple[float, float]:
    """What a usage says of the voices, at that second of the client's."""
    event = meter.see(COUNTED, voice)
    assert isinstance(event, on.UsageCounted)
    assert event.usage == COUNTED.usage
    return event.heard, event.spoken


def test_one_turn_after_another() -> None:
    """What was said into an answer is the next turn's."""
    meter = Meter()
    meter.see(on.AnswerBegan(START), 2.0)
    meter.sounded(SECOND)
    meter.see(on.AnswerBegan(START), 9.0)  # it goes on after a tool
    meter.sounded(SECOND // 2)
    assert measured(meter, 3.0) == (2.0, 1.5)
    meter.see(on.TurnCompleted(START), 3.0)
    meter.see(on.AnswerBegan(START), 5.0)
    assert measured(meter, 5.0) == (3.0, 0.0)


def test_a_turn_without_an_answer() -> None:
    """It ends where the client had come to."""
    meter = Meter()
    assert measured(meter, 1.0) == (1.0, 0.0)
    meter.see(on.TurnCompleted(START), 1.0)
    assert measured(meter, 4.0) == (3.0, 0.0)


@pytest.mark.parametrize("event", [on.GenerationCompleted(), on.UserHeard("hello")])
def test_other_events_pass(event: on.Event) -> None:
    """As they are."""
    assert Meter().see(event, 1.0) is event
