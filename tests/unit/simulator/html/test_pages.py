"""A page is whole, needs nothing else, cannot be broken out of, and its totals are those of its runs."""

import base64
import hashlib
import re

import pytest

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.html import findings, run, suite
from services.simulator.html.story import tell
from tests.unit.simulator.html.recorded import good_run, hostile_run
from tests.unit.simulator.html.recorded import suite as made
from tests.unit.simulator.html.test_markup import Reader

PAGES = {
    "a run": lambda: run.page(good_run()),
    "a run beside another": lambda: run.page(good_run(), good_run(2)),
    "a run that has just begun": lambda: run.page(pb.Run(name="runs/r2", spec=pb.RunSpec(turns=3))),
    "a suite": lambda: suite.page(made(good_run(), good_run(2), error="SERVICE_UNAVAILABLE: gone")),
    "a suite beside another": lambda: suite.page(made(good_run(), good_run()), made(good_run(2))),
    "an empty suite": lambda: suite.page(pb.SuiteResult(name="none")),
    "a hostile run": lambda: run.page(hostile_run(), hostile_run()),
    "a hostile suite": lambda: suite.page(made(hostile_run(), error="<script>alert(1)</script>")),
}


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    """Each kind of page."""
    return PAGES[request.param]()


def test_a_page_needs_nothing_but_itself(page: str) -> None:
    """No address but its own anchors and one picture that is part of it."""
    read = Reader(page)
    links = [value or "" for name, value in read.attributes if name in {"href", "src"}]
    assert all(link.startswith(("#", "data:image/svg+xml,")) for link in links)
    assert "url(" not in page
    assert "@import" not in page


def test_only_the_page_s_own_script_and_style_may_run(page: str) -> None:
    """The policy names both by their contents; nothing is styled or scripted in an attribute."""
    found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert found
    policy = found[1].replace("&#x27;", "'")
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        (inside,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    names = {name for name, _ in Reader(page).attributes}
    assert "style" not in names
    assert not any(name.startswith("on") for name in names)


def test_every_element_is_closed_and_every_link_leads_somewhere(page: str) -> None:
    """Anchors are unique, and each link within the page has its target."""
    read = Reader(page)
    anchors = [value for name, value in read.attributes if name == "id"]
    assert len(anchors) == len(set(anchors))
    assert {value[1:] for name, value in read.attributes if name == "href" and value and value[0] == "#"} <= {*anchors}
    for element in ("svg", "table", "details", "section", "li", "div", "p"):
        assert len(re.findall(rf"<{element}[ >]", page)) == page.count(f"</{element}>"), element


def test_a_table_has_headers_and_a_name(page: str) -> None:
    """Columns and rows are named for someone who cannot see them, and so is the part that scrolls."""
    tables = re.findall(r"<table .*?</table>", page, re.DOTALL)
    assert all("<caption" in table and 'scope="col"' in table for table in tables)
    assert page.count('role="region" aria-label=') == len(tables)


def test_hostile_words_are_only_words() -> None:
    """A persona, a transcript, a reason or a category cannot add an element, an attribute or a script."""
    fair, foul = Reader(run.page(good_run())), Reader(run.page(hostile_run()))
    assert set(foul.tags) <= set(fair.tags)
    assert foul.tags.count("script") == fair.tags.count("script")
    assert "img" not in foul.tags
    assert "alert('got you')" in "".join(foul.texts)


def test_one_run_is_a_small_file() -> None:
    """A hundred turns with their plots and words stay well below 300 kB."""
    assert len(run.page(good_run(100)).encode()) < 200_000


def test_the_figures_of_a_run_are_what_was_counted() -> None:
    """Each in words, and judged where there is something to judge."""
    told = {figure.name: (figure.value, figure.good, figure.more) for figure in findings.figures(tell(good_run()))}
    assert told["Turns completed"] == ("4 of 4", True, "")
    assert told["Cuts survived"] == ("4", None, "2 rotations, 1 return, 1 takeover")
    assert told["Longest gap"] == ("3 s", None, "")
    assert told["Turns lost or doubled"] == ("0", True, "1 asked again after a cut")
    assert told["Largest context"] == ("700", None, "window 32,000")
    assert told["Tokens billed"] == ("1,600", None, "")


def test_the_totals_of_a_suite_are_the_sums_of_its_runs() -> None:
    """Also where one of them could not be run."""
    result = made(good_run(), good_run(2), error="gone")
    result.runs[1].run.report.lost_turns = 1
    result.runs[1].run.report.passed = True
    told = {figure.name: figure for figure in suite.figures(result, [tell(one.run) for one in result.runs])}
    assert (told["Runs passed"].value, told["Runs passed"].good) == ("1 of 3", False)
    assert told["Turns completed"].value == "6 of 6"
    assert told["Cuts survived"].value == "8"
    assert told["Facts recalled"].value == "2 of 2"
    assert (told["Turns lost or doubled"].value, told["Turns lost or doubled"].good) == ("1", False)
    assert told["Tokens billed"].value == "2,400"


def test_checks_that_failed_come_first_with_their_evidence() -> None:
    """Each piece of it leads to its turn; more than five are folded away; a check without fault shows none."""
    shown = findings.checks(tell(good_run()), good_run().report.checks, "run-3-")
    assert shown.index("longest gap ms") < shown.index("lost turns")
    assert shown.count('href="#run-3-turn-3"') == 7
    assert "2 more" in shown
    assert "Where it shows" not in shown


def test_advice_says_what_became_of_it() -> None:
    """When it was given, which turn it served, and by what it went."""
    shown = "".join(Reader(findings.advice(tell(good_run()))).texts)
    assert "Ask for the budget.delivered, then removed · given after turn 1 · served turn\xa02 · x12" in shown


def test_a_run_beside_its_baseline_shows_each_change() -> None:
    """With its sign."""
    shown = "".join(f"{text}|" for text in Reader(findings.compared(tell(good_run(4)), tell(good_run(2)))).texts)
    assert "Turns completed|2 of 2|4 of 4|+2|" in shown
    assert "Tokens billed|800|1,600|+800|" in shown
    assert "Facts recalled|1 of 1|1 of 1|±0|" in shown


def test_the_transcript_shows_where_the_thread_was_cut() -> None:
    """Facts are marked, recalls told, cuts stand between what was said before and after; lost context stands out."""
    page = run.page(good_run())
    talk = page[page.index('class="talk"') :]
    assert "<mark>Brightwater</mark>" in talk
    assert "recalled: company" in talk
    assert talk.index("point 2") < talk.index("context lost") < talk.index("turn-3")
    assert 'class="knot rotation lost"' in talk


def test_a_suite_compares_runs_by_their_titles() -> None:
    """A run that the baseline does not have is not compared."""
    page = suite.page(made(good_run(), good_run()), made(good_run(2)))
    assert page.count("This run beside the baseline") == 2 * 1
    assert ">Baseline</th>" in page
