"""A false resume is told from a true one, and from compression."""

import pytest

from services.relay.core.model import Usage
from services.relay.core.resume_check import Compression, ResumeCheck, resume_is_true

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


@pytest.mark.parametrize(
    ("before", "answer", "sent", "after", "compression", "true"),
    [
        (usage(1_000, 800), 100, 1_500, usage(1_000, 1_500), NONE, False),  # all of it is new: the old talk is gone
        (usage(1_000, 800), 100, 1_500, usage(1_000, 2_400), NONE, True),
        (usage(1_000, 800), 100, 1_500, usage(1_000, 2_250), NONE, True),  # counted a little differently
        (usage(1_000, 800), 900, 0, usage(1_000, 900), NONE, False),  # the newest answer is gone
        (usage(1_000, 800), 900, 0, usage(1_000, 1_750), NONE, True),
        (usage(1_000, 0), 900, 25, usage(1_000, 25), NONE, False),  # it was the first answer
        (usage(1_000, 0), 900, 25, usage(1_000, 925), NONE, True),
        (Usage(9_000, 900), 900, 100, Usage(9_100, 10), NONE, True),  # modalities are not told apart
        (usage(1_000, 23_000), 700, 3_000, usage(1_000, 12_500), SMALL, True),  # compressed, the new speech included
        (usage(1_000, 23_000), 700, 8_000, usage(1_000, 8_000), SMALL, False),  # less than compression leaves of both
        (usage(1_000, 23_000), 700, 13_000, usage(1_000, 13_000), SMALL, True),  # nothing old need be left
        (usage(1_000, 15_000), 700, 8_000, usage(1_000, 12_000), SMALL, True),  # what was said took it over the trigger
    ],
)
def test_what_has_come_since_does_not_fill_the_hole(
    before: Usage,
    answer: int,
    sent: int,
    after: Usage,
    compression: Compression,
    true: bool,  # noqa: FBT001
) -> None:
    """A long utterance has as many tokens as an early talk that is lost."""
    assert resume_is_true(before, after, compression, answer=answer, sent=sent) is true


def spoken(audio: int, answer: int) -> Usage:
    """A turn answered by so many tokens of speech."""
    return Usage(1_000 + audio, answer, {"TEXT": 1_000, "AUDIO": audio}, answer_by_modality={"AUDIO": answer})


def test_what_was_said_counts_once_it_was_seen_to_count() -> None:
    """Two ordinary turns show it: the prompt has grown by the answer and by what was said."""
    check = ResumeCheck(NONE)
    check.begins(None)
    assert check.holds(spoken(100, 200), 4.0)
    assert check.holds(spoken(550, 200), 10.0)
    check.begins(spoken(550, 200))
    assert not check.holds(spoken(1_000, 200), 40.0), "a thousand tokens are new: nothing of the old is there"
    check.begins(spoken(550, 200))
    assert check.holds(spoken(1_750, 200), 40.0)


def test_without_such_a_turn_it_does_not_count() -> None:
    """Where answers leave the prompt, or noise is not counted as speech, nobody cries wolf."""
    check = ResumeCheck(NONE)
    check.begins(None)
    assert check.holds(spoken(100, 200), 4.0)
    assert check.holds(spoken(200, 200), 40.0)
    check.begins(spoken(200, 200))
    assert check.holds(spoken(250, 200), 40.0)
    check.begins(spoken(200, 200))
    assert not check.holds(spoken(20, 200), 1.0)


def test_only_the_first_turn_after_a_resume_is_judged() -> None:
    """And none where it is not known what should be there."""
    check = ResumeCheck(NONE)
    check.begins(spoken(1_000, 100))
    assert check.holds(spoken(1_000, 100), 1.0)
    assert check.holds(spoken(10, 100), 1.0)
    check.begins(None)
    assert check.holds(spoken(10, 100), 1.0)


def test_compression_of_a_window() -> None:
    """The documented defaults: trigger at 80 %, target half of it."""
    assert Compression.of_window(32_000) == Compression(trigger=25_600, target=12_800)
