"""The table of models, against what is documented and observed of each."""

import pytest

from services.relay.core.capabilities import CAPABILITIES, capability

KNOWN = [
    (0, "gemini-2.5-flash-native-audio-preview-12-2025", True, 128_000),
    (1, "gemini-live-2.5-flash-native-audio", True, 128_000),
    (2, "gemini-live-2.5-flash-preview", True, 32_000),
    (3, "gemini-2.0-flash-live-001", True, 32_000),
    (4, "gemini-3.1-flash-live-preview", False, 128_000),
    (5, "gemini-3.8-live", True, 128_000),
    (6, "a-model-of-tomorrow", False, 32_000),
]


@pytest.mark.parametrize(("row", "model", "content", "window"), KNOWN)
def test_what_a_model_allows(row: int, model: str, content: bool, window: int) -> None:  # noqa: FBT001
    """Each name is found in the row that was written for it, whatever path is before it."""
    for path in ("", "models/", "publishers/google/models/"):
        found = capability(path + model)
        assert found is CAPABILITIES[row]
        assert (found.mid_session_content, found.window) == (content, window)


def test_every_row_is_reached() -> None:
    """No row is dead, and none is missing above."""
    assert [row for row, *_ in KNOWN] == list(range(len(CAPABILITIES)))


def test_a_name_says_no_more_than_it_must() -> None:
    """Without dates and ``-latest``: what the table holds is the beginning of a name, and each is there once."""
    names = [row.model for row in CAPABILITIES]
    assert len(set(names)) == len(names)
    assert all(name == known[: len(name)] for name, (_, known, *_) in zip(names, KNOWN, strict=True))


def test_every_row_has_evidence() -> None:
    """Each row says where it comes from."""
    assert all(row.evidence for row in CAPABILITIES)
