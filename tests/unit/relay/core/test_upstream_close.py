"""The table of upstream closes, against the cases that Google's documents and public reports tell of."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.core.upstream_close import ROWS, Decision, Situation, classify_upstream_close

NEW, RESUMING, LIVE = Situation.NEW, Situation.RESUMING, Situation.LIVE
RESUME, FRESH, FATAL = Decision.RESUME, Decision.FRESH, Decision.FATAL


@dataclass(frozen=True)
class Case:
    """One close and its decision, by the row (from 0) that is to decide it."""

    row: int
    code: int
    reason: str
    decision: Decision
    situation: Situation = LIVE
    refusals: int = 0


CASES = [
    Case(0, 1007, "API key not valid. Please pass a valid API key.", FATAL, NEW),
    Case(0, 1007, "API key not valid. Please pass a valid API key.", FATAL, RESUMING, 1),
    Case(0, 1008, "Method doesn't allow unregistered callers (callers without established identity).", FATAL, NEW),
    Case(0, 1008, "unregistered callers (HTTP 403)", FATAL, LIVE),
    Case(0, 1007, "API key expired. Please renew the API key.", FATAL, LIVE),
    Case(0, 1008, "Permission denied on resource project", FATAL, NEW),
    Case(1, 1008, "BidiGenerateContent session not found", FRESH, RESUMING, 1),
    Case(1, 1008, "Requested entity was not found.", FRESH, RESUMING, 1),
    Case(1, 1008, "BidiGenerateContent session not found", FRESH, LIVE),
    Case(2, 1008, "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent", FATAL),
    Case(2, 1008, "models/x is not found for API version v1beta", FATAL, NEW),
    Case(2, 1008, "model not found", FATAL, RESUMING, 1),
    Case(2, 1008, "Operation is not implemented, or supported, or enabled.", FATAL, NEW),
    Case(2, 1007, "x is not supported for bidiGenerateContent", FATAL, LIVE),
    Case(3, 1011, "You exceeded your current quota, please check your plan", RESUME, NEW),
    Case(3, 1008, "RESOURCE_EXHAUSTED", RESUME, NEW),
    Case(3, 1007, "quota", RESUME, RESUMING, 5),
    Case(4, 1007, "Invalid JSON payload received. Unknown name", FATAL, NEW),
    Case(4, 1007, "Request contains an invalid argument.", FATAL, NEW),
    Case(4, 1007, "Precondition check failed.", FATAL, NEW),
    Case(5, 1007, "Request contains an invalid argument.", FRESH, LIVE),
    Case(5, 1007, "Precondition check failed.", FRESH, RESUMING, 1),
    Case(5, 1007, "", FRESH, RESUMING, 1),
    Case(6, 1008, "Client failed to close the connection after receiving a GoAway from the server", RESUME, NEW),
    Case(6, 1008, "Client failed to close the connection after receiving a GoAway", RESUME, RESUMING, 9),
    Case(7, 1011, "Internal error encountered.", FRESH, RESUMING, 3),
    Case(7, 1008, "The operation was aborted", FRESH, RESUMING, 4),
    Case(7, 1008, "", FRESH, RESUMING, 3),
    Case(8, 1011, "Internal error encountered.", RESUME, LIVE),
    Case(8, 1011, "Deadline expired before operation could complete.", RESUME, LIVE),
    Case(8, 1011, "the session is still open on another connection", RESUME, RESUMING, 1),
    Case(8, 1011, "Internal error encountered.", RESUME, RESUMING, 2),
    Case(8, 1011, "Internal error encountered.", RESUME, NEW),
    Case(8, 1011, "Internal error encountered.", RESUME, LIVE, 3),
    Case(8, 1011, "Internal error encountered.", RESUME, NEW, 3),
    Case(9, 1008, "The operation was aborted.", RESUME, LIVE),
    Case(9, 1008, "The operation was aborted.", RESUME, NEW),
    Case(9, 1008, "The operation was aborted.", RESUME, RESUMING, 2),
    Case(10, 1008, "", FATAL, NEW),
    Case(10, 1008, "a rule that nobody knows", FATAL, NEW),
    Case(11, 1000, "", RESUME, LIVE),
    Case(11, 1001, "", RESUME, LIVE),
    Case(11, 1006, "", RESUME, NEW),
    Case(11, 1006, "cannot connect: HTTP 503", RESUME, RESUMING, 3),
    Case(11, 1012, "", RESUME, LIVE),
    Case(11, 1013, "", RESUME, LIVE),
    Case(11, 1008, "a rule that nobody knows", RESUME, LIVE),
    Case(11, 1008, "a rule that nobody knows", RESUME, RESUMING, 2),
    Case(11, 4242, "never seen", RESUME, NEW),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row}-{case.code}-{case.situation}-{case.reason[:30]}")
def test_the_decision_and_the_row_that_takes_it(case: Case) -> None:
    """Each known close is decided as documented, by the row that was written for it and no earlier one."""
    rows = [row.fits(case.code, case.reason.lower(), case.situation, case.refusals) for row in ROWS]
    assert rows.index(True) == case.row
    assert classify_upstream_close(case.code, case.reason, case.situation, case.refusals) is case.decision


def test_every_row_is_reached() -> None:
    """No row is dead: a case above is decided by each."""
    assert {case.row for case in CASES} == set(range(len(ROWS)))


def test_fragments_are_in_lower_case() -> None:
    """A reason is compared in lower case, so a fragment in another case would never fit."""
    assert all(fragment == fragment.lower() for row in ROWS for fragment in row.fragments)


def test_every_row_has_evidence() -> None:
    """Each row says where it comes from, and how well it is known."""
    assert all(row.evidence for row in ROWS)


@given(st.integers(0, 5000), st.text(max_size=200), st.sampled_from(Situation), st.integers(0, 20))
def test_the_table_is_total(code: int, reason: str, situation: Situation, refusals: int) -> None:
    """Whatever Gemini says, there is a decision, and it does not depend on the case of the letters."""
    assert classify_upstream_close(code, reason, situation, refusals) in set(Decision)
    ascii_only = reason.encode("ascii", "ignore").decode()
    assert classify_upstream_close(code, ascii_only.upper(), situation, refusals) is classify_upstream_close(
        code, ascii_only, situation, refusals
    )


def test_a_cut_reason_is_still_recognised() -> None:
    """Google cuts reasons to 123 bytes."""
    reason = "models/gemini-live is not found for API version v1beta, or is not supported for bidiGenerateContent. Call"
    assert classify_upstream_close(1008, reason[:123], NEW) is FATAL


@pytest.mark.parametrize("code", [1008, 1011])
@pytest.mark.parametrize(("refusals", "decision"), [(1, RESUME), (2, RESUME), (3, FRESH), (4, FRESH)])
def test_the_third_refused_resume_gives_the_handle_up(code: int, refusals: int, decision: Decision) -> None:
    """Two refusals may come from the old socket; three condemn the handle."""
    assert classify_upstream_close(code, "no known reason", RESUMING, refusals) is decision


@given(st.integers(0, 5000), st.text(max_size=50), st.integers(0, 20))
def test_refusals_only_count_while_resuming(code: int, reason: str, refusals: int) -> None:
    """Old refusals do not decide about a connection that lives, or one begun without a handle."""
    for situation in (NEW, LIVE):
        alone = classify_upstream_close(code, reason, situation)
        assert classify_upstream_close(code, reason, situation, refusals) is alone
