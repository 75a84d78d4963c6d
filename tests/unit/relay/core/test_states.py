"""The table of phases."""

import itertools

import pytest

from services.relay.core.states import TRANSITIONS, Phase, Signal, step

IMPOSSIBLE = {
    (Phase.PARKED, Signal.READY): "nothing was dialled",
    (Phase.PARKED, Signal.ROTATE): "there is nothing to replace",
    (Phase.PARKED, Signal.PARK): "it is",
    (Phase.OPENING, Signal.ROTATE): "there is nothing to replace",
    (Phase.LIVE, Signal.READY): "there is one connection at most",
    (Phase.CLOSING, Signal.READY): "nothing is dialled before the close",
    (Phase.CLOSING, Signal.ROTATE): "it is being replaced",
    **{(Phase.OVER, signal): "over is over" for signal in Signal},
}


def test_every_pair_is_decided() -> None:
    """Each (phase, signal) either has a row or is named above as impossible, never both."""
    assert set(TRANSITIONS) | set(IMPOSSIBLE) == set(itertools.product(Phase, Signal))
    assert not set(TRANSITIONS) & set(IMPOSSIBLE)


@pytest.mark.parametrize("pair", IMPOSSIBLE, ids="-".join)
def test_what_has_no_row_raises(pair: tuple[Phase, Signal]) -> None:
    """A defect of the core is loud: nothing is decided by falling through."""
    with pytest.raises(KeyError):
        step(*pair)


def test_what_a_signal_leads_to() -> None:
    """A signal says where it leads, wherever it comes from."""
    leads = {
        Signal.DIAL: Phase.OPENING,
        Signal.READY: Phase.LIVE,
        Signal.ROTATE: Phase.CLOSING,
        Signal.PARK: Phase.PARKED,
        Signal.FINISH: Phase.OVER,
    }
    assert {pair: step(*pair) for pair in TRANSITIONS} == {pair: leads[pair[1]] for pair in TRANSITIONS}


def test_every_phase_but_the_last_can_finish() -> None:
    """A conversation can be let go wherever it stands."""
    assert {phase for phase in Phase if (phase, Signal.FINISH) in TRANSITIONS} == set(Phase) - {Phase.OVER}
