"""Scales are right, marks are where they belong, and what the pointer shows is what was counted."""

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.html import gaps, plots, timeline, tokens
from services.simulator.html.story import tell
from tests.unit.simulator.html.recorded import good_run, line


def shown(plot: str) -> list[list[object]]:
    """What the script of the page is given: x, title, rows, target."""
    found = re.search(r'<script type="application/json">(.*?)</script>', plot)
    assert found
    return json.loads(found[1])  # type: ignore[no-any-return]


@given(st.floats(min_value=0.001, max_value=1e12), st.integers(min_value=2, max_value=10))
def test_ticks_are_round_and_reach_the_top(most: float, about: int) -> None:
    """From 0, evenly, the last one at or above the largest value and not a whole step further."""
    found = plots.ticks(most, about)
    steps = {round((after - before) / found[1], 6) for before, after in pairwise(found)}
    assert found[0] == 0
    assert steps == {1.0}
    assert found[-2] < most <= found[-1] * (1 + 1e-9)
    assert len(found) <= about + 2


def test_ticks_of_nothing_are_still_a_scale() -> None:
    """An empty plot has one."""
    assert plots.ticks(0) == [0.0, 1.0]


@pytest.mark.parametrize(("turns", "expected"), [(1, [1]), (7, [1, 2, 4, 6]), (24, [1, 5, 10, 15, 20])])
def test_turns_under_a_plot_are_round(turns: int, expected: list[int]) -> None:
    """The first one, then round ones, none beyond the last."""
    assert plots.turn_ticks(turns) == expected


def test_the_scale_of_gaps_holds_both_ends() -> None:
    """Powers of ten around the least and the most."""
    assert plots.decades(14, 1730) == [10, 100, 1000, 10_000]
    assert plots.decades(100, 100) == [100, 1000]


def test_the_context_is_told_by_category() -> None:
    """One point a turn, in the middle of its column, with the whole context and each part of it."""
    story = tell(good_run())
    points = shown(tokens.context(story) or "")
    assert [point[0] for point in points] == [12.5, 37.5, 62.5, 87.5]
    _, title, rows, target = points[2]
    assert (title, target) == ("Turn 3", "turn-3")
    assert rows[:4] == [  # type: ignore[index]
        ["", "Whole context", "600"],
        ["c-other", "Other", "200"],
        ["c-model", "Agent", "150"],
        ["c-user", "Prospect", "150"],
    ]


def test_the_columns_stand_on_each_other() -> None:
    """The first layer begins at the axis, each further one where the one below ends; the top is the whole context."""
    plot = tokens.context(tell(good_run(1))) or ""
    layers = re.findall(r'd="M0 ([\d.]+)V([\d.]+)H1V([\d.]+)H0z"', plot)
    assert len(layers) == 4
    assert layers[0][2] == "196"
    assert [above for _, above, _ in layers[:-1]] == [below for _, _, below in layers[1:]]
    assert float(layers[-1][1]) == pytest.approx(196 - 400 / 600 * 174)


def test_a_window_that_is_near_is_drawn_and_one_that_is_far_is_said() -> None:
    """A line where it fits the scale; else how many times as high it is, and how much of it was used."""
    run = good_run()
    far = tokens.context(tell(run)) or ""
    assert "46 times as high: at most 2.2% of it was used" in far
    assert "limit-label" not in far
    run.report.context_window = 1_000
    near = tokens.context(tell(run)) or ""
    assert "window: 1,000 tokens" in near
    assert "times as high" not in near


def test_a_baseline_is_drawn_beside_the_run() -> None:
    """Its numbers are told turn by turn, also that it had ended; the plot has room for the longer of both."""
    points = shown(tokens.context(tell(good_run(4)), tell(good_run(2))) or "")
    assert ["baseline", "Baseline", "500"] in points[1][2]  # type: ignore[operator]
    told = "the process that performed the run had died"
    assert ["takeover", "Another simulator went on", told] in points[3][2]  # type: ignore[operator]
    assert ["baseline", "Baseline", "had ended"] in points[3][2]  # type: ignore[operator]
    longer = shown(tokens.billed(tell(good_run(2)), tell(good_run(4))) or "")
    assert [point[0] for point in longer] == [12.5, 37.5]


def test_what_was_billed_is_told_in_sum_and_by_turn() -> None:
    """A turn of which nothing was told bills nothing."""
    run = good_run(3)
    run.transcript[1].billed_tokens = 0
    rows = [point[2] for point in shown(tokens.billed(tell(run)) or "")]
    assert [[row[2] for row in told] for told in rows] == [["400", "400"], ["400", "0"], ["1,200", "800"]]  # type: ignore[attr-defined]


def test_every_gap_is_a_mark_in_its_turn() -> None:
    """Each within its turn's column, side by side; longer ones higher; the allowance is a line."""
    plot = gaps.draw(tell(good_run())) or ""
    points = shown(plot)
    assert [round(float(str(point[0])), 1) for point in points] == [37.5, 58.3, 66.7, 87.5]
    assert [point[1] for point in points] == [
        "Turn 2 · 14 ms", "Turn 3 · 900 ms", "Turn 3 · 1.73 s", "Turn 4 · 3 s"
    ]  # fmt: skip
    tops = [float(y) for y in re.findall(r'y2="([\d.]+)" class="stem', plot)]
    assert tops == sorted(tops, reverse=True)
    assert "allowed: 1 s" in plot


def test_the_timeline_shows_who_speaks_and_where_the_thread_was_cut() -> None:
    """A bar for each speaker of each turn, a mark for each event, the gap as wide as it was long."""
    (strip,) = timeline.draw(tell(good_run()))
    assert strip.count('class="prospect"') == 4 + 1  # the legend's too
    assert strip.count('class="agent"') == 4 + 1
    assert strip.count('class="thread-gap"') == 4
    took = 8 - 0.5
    gap = re.search(
        r'x1="([\d.]+)%" x2="([\d.]+)%" y1="110" y2="110" class="thread-gap"/><svg x="[\d.]+%" y="110"', strip
    )
    assert gap
    assert float(gap[2]) - float(gap[1]) == pytest.approx(1.73 / took * 100, abs=0.1)
    assert shown(strip)[1][2][2:] == [  # type: ignore[index]
        ["fault", "Broken on purpose", "emulator: cut, in the answer (2 s)"],
        ["rotation", "Connection to Gemini replaced", "Gemini's time limit; context kept by Gemini's handle, 14 ms"],
        ["rotation", "Connection to Gemini replaced", "closed by Gemini; context lost, 900 ms"],
    ]


def test_a_long_run_is_told_in_strips() -> None:
    """At most sixty turns in each; together they hold every turn once, and only the first has the legend."""
    run = good_run()
    del run.transcript[:]
    run.transcript.extend(line(number) for number in range(1, 151))
    strips = timeline.draw(tell(run))
    told = [point[3] for strip in strips for point in shown(strip)]
    assert len(strips) == 3
    assert told == [f"turn-{number}" for number in range(1, 151)]
    assert ["legend" in strip for strip in strips] == [True, False, False]


def test_nothing_is_drawn_of_nothing() -> None:
    """A run that never spoke, or of which no times and no tokens are known, has no plots."""
    bare = pb.Run(transcript=[pb.TranscriptLine(turn=1, prospect="Hello.")])
    for story in (tell(pb.Run()), tell(bare)):
        assert timeline.draw(story) == []
        assert (tokens.context(story), tokens.billed(story), gaps.draw(story)) == (None, None, None)


def test_a_category_of_a_newer_relay_is_shown_too() -> None:
    """By its own name, in the colour of the rest."""
    run = good_run(1)
    run.transcript[0].context_by_category["vision"] = 50
    plot = tokens.context(tell(run)) or ""
    assert ["c-other", "vision", "50"] in shown(plot)[0][2]  # type: ignore[operator]
