"""The close codes that clients go by."""

import pytest

from services.common import close_codes
from services.common.close_codes import CLOSE_CODES, Action

# Clients in the field go by these: a row may be added, but one that is there stays as it is.
PUBLISHED = {
    Action.STOP: (1000, 1007, 1008, 1009, 4401, 4403, 4404, 4409, 4410, 4502),
    Action.RECONNECT: (1001, 1006, 1011, 1012),
    Action.WAIT: (1013,),
}


@pytest.mark.parametrize(("action", "codes"), PUBLISHED.items())
def test_a_published_action_does_not_change(action: Action, codes: tuple[int, ...]) -> None:
    """What a client does after each of these is part of the protocol."""
    assert [code for code in codes if CLOSE_CODES[code].action is not action] == []


def test_close_codes_are_codes_that_a_peer_may_send_or_see() -> None:
    """RFC 6455, section 7.4: 1000 to 1015 of its own, 4000 to 4999 private; 1006 is only seen."""
    assert all(1000 <= code <= 1015 or 4000 <= code <= 4999 for code in CLOSE_CODES)
    assert all(row.meaning.endswith(".") for row in CLOSE_CODES.values())


@pytest.mark.parametrize(("code", "action"), [(1000, Action.STOP), (1012, Action.RECONNECT), (1013, Action.WAIT)])
def test_action_reads_the_table(code: int, action: Action) -> None:
    """A known code is met as the table says."""
    assert close_codes.action(code) is action


@pytest.mark.parametrize("code", [0, 999, 3000, 4999])
def test_an_unknown_code_is_met_like_a_cut(code: int) -> None:
    """A newer relay may send what this client has no row for: it comes back rather than give up."""
    assert close_codes.action(code) is close_codes.action(1006) is Action.RECONNECT
