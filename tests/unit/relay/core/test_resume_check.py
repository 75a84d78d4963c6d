"""A false resume is told from a true one, and from compression."""

import pytest

from services.relay.core.model import Usage
from services.relay.core.resume_check import Compression, resume_is_true

NONE = Compression()
SMALL = Compression.of_window(32_000)


def usage(text: int, audio: int, response: int = 0) -> Usage:
    """A prompt of text and audio, and an answer."""
    return Usage(text + audio, response, {"TEXT": text, "AUDIO": audio})


@pytest.mark.parametrize(
    ("before", "after", "compression", "true"),
    [
        (usage(17_000, 2_758), usage(17_000, 351), NONE, False),  # agents-js #2346: the total fell by an eighth only
        (usage(17_000, 2_758), usage(17_000, 2_900), NONE, True),
        (usage(500, 1_000), usage(500, 1_000), NONE, True),
        (usage(500, 1_000), usage(490, 950), NONE, True),  # counted a little differently
        (usage(500, 1_000), usage(10, 1_100), NONE, False),  # the instruction is gone
        (usage(20, 30), usage(20, 0), NONE, True),  # too little to judge
        (usage(1_000, 25_000), usage(1_000, 12_000), SMALL, True),  # compression from over the trigger to the target
        (usage(1_000, 25_000), usage(1_000, 2_000), SMALL, False),  # less than compression leaves
        (usage(1_000, 15_000), usage(1_000, 8_000), SMALL, False),  # compression had no reason to begin
        (usage(1_000, 23_000, 700), usage(1_000, 12_000), SMALL, True),  # the answer took it over the trigger
        (Usage(9_000, 100), Usage(1_000, 100), NONE, False),  # modalities are not told apart
        (Usage(9_000, 100), Usage(9_200, 100), NONE, True),
    ],
)
def test_each_case(before: Usage, after: Usage, compression: Compression, *, true: bool) -> None:
    """What is missing is explained by compression, or it is lost."""
    assert resume_is_true(before, after, compression) is true


def test_compression_of_a_window() -> None:
    """The documented defaults: trigger at 80 %, target half of it."""
    assert Compression.of_window(32_000) == Compression(trigger=25_600, target=12_800)
