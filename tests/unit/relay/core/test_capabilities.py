"""The table of models, against what is documented and observed of each."""

import pytest

from services.relay.core.capabilities import CAPABILITIES, Backend, Channel, capability

D, V = Backend.DEVELOPER, Backend.VERTEX
CONTENT, TEXT, UPDATE, SYSTEM = Channel
KNOWN = [
    (0, "gemini-2.5-flash-native-audio-preview-12-2025", D, 128_000, CONTENT, None),
    (1, "gemini-live-2.5-flash-native-audio", D, 128_000, CONTENT, None),
    (2, "gemini-live-2.5-flash-preview", D, 32_000, CONTENT, None),
    (3, "gemini-2.0-flash-live-001", D, 32_000, CONTENT, None),
    (4, "gemini-3.1-flash-live-preview", D, 128_000, TEXT, None),
    (5, "gemini-3.8-live", D, 128_000, CONTENT, None),
    (6, "gemini-2.5-flash-native-audio-preview-12-2025", V, 128_000, CONTENT, SYSTEM),
    (7, "gemini-live-2.5-flash-native-audio", V, 128_000, CONTENT, SYSTEM),
    (8, "gemini-live-2.5-flash-preview", V, 32_000, CONTENT, SYSTEM),
    (9, "gemini-2.0-flash-live-001", V, 32_000, CONTENT, SYSTEM),
    (10, "gemini-3.1-flash-live-preview", V, 128_000, TEXT, None),
    (11, "gemini-3.8-live", V, 128_000, CONTENT, UPDATE),
    (12, "a-model-of-tomorrow", D, 32_000, TEXT, None),
    (13, "a-model-of-tomorrow", V, 32_000, TEXT, None),
]


@pytest.mark.parametrize(("row", "model", "backend", "window", "advice", "instruction"), KNOWN)
def test_what_a_model_allows(
    row: int, model: str, backend: Backend, window: int, advice: Channel, instruction: Channel | None
) -> None:
    """Each name is found in the row that was written for it, whatever path is before it."""
    for path in ("", "models/", "publishers/google/models/"):
        found = capability(path + model, backend)
        assert found is CAPABILITIES[row]
        assert (found.window, found.advice, found.instruction) == (window, advice, instruction)
        assert found.mid_session_content is (advice is CONTENT), "turns after a resume go the same way"


def test_every_row_is_reached() -> None:
    """No row is dead, and none is missing above."""
    assert [row for row, *_ in KNOWN] == list(range(len(CAPABILITIES)))


def test_a_name_says_no_more_than_it_must() -> None:
    """Without dates and ``-latest``: what the table holds is the beginning of a name, and each is there once."""
    names = [(row.model, row.backend) for row in CAPABILITIES]
    assert len(set(names)) == len(names)
    assert all(name == known[: len(name)] for (name, _), (_, known, *_) in zip(names, KNOWN, strict=True))


def test_every_row_has_evidence() -> None:
    """Each row says where it comes from."""
    assert all(row.evidence for row in CAPABILITIES)
