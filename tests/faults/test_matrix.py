"""The fault matrix: whatever ends a connection, at whatever point, the conversation goes on as if it had not."""

from collections.abc import Mapping
from typing import get_args

import pytest
import uvloop

from services.emulator.faults import CloseFault, Fault, PongsFault
from services.relay.core.upstream_close import ROWS as CLOSES
from services.relay.core.upstream_close import Situation
from tests.faults.play import CELLS, AnyCell, excluded, play_all
from tests.faults.scene import Outcome
from tests.faults.table import CELLS as GEMINI
from tests.faults.table import ROWS, Point

# All the cells are played by the first of these tests that runs, several beside each other.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Mapping[AnyCell, Outcome]:
    """How every cell went that was asked for, played on one relay."""
    names = {item.name for item in request.session.items}
    return uvloop.run(play_all([cell for cell in CELLS if f"{test_cell.__name__}[{cell}]" in names]))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(cell: AnyCell, outcomes: Mapping[AnyCell, Outcome]) -> None:
    """Nothing is lost or doubled by Gemini's own account; answers are heard once, the truth is told, a fact known."""
    assert outcomes[cell].problems == []


def test_every_point_of_every_row_is_played_or_has_its_reason() -> None:
    """No combination is left out in silence."""
    played = {(cell.name, cell.point) for cell in CELLS}
    left_out = {(name, point) for name, point, why in excluded() if why}
    assert played.isdisjoint(left_out)
    names = {name for name, _ in played | left_out}
    assert played | left_out == {(name, point) for name in names for point in Point}


def test_every_fault_of_the_emulator_is_played() -> None:
    """A fault that the emulator learns must come into the matrix, or be named here with its reason."""
    elsewhere = {PongsFault}  # the relay sends no pings upstream, since slow pongs kill healthy sessions
    played = {type(fault) for cell in GEMINI for fault in cell.plan}
    assert set(get_args(Fault)) - elsewhere == played


def test_every_row_of_the_close_table_is_played() -> None:
    """Each decision about a close code is met over a real socket, but for those that need what no point has."""
    met = set()
    for row in ROWS:
        for fault in (close for cell in GEMINI if cell.row is row for close in cell.plan):
            if isinstance(fault, CloseFault):
                for situation in Situation:
                    fits = (r for r in CLOSES if r.fits(fault.code, fault.reason.lower(), situation, fault.times))
                    met.add(next(fits))
    assert [row.evidence for row in CLOSES if row not in met] == []
