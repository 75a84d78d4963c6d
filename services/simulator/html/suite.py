"""The report of a suite: every run at a glance, what failed, and each run's own story."""

from collections.abc import Mapping, Sequence

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.html import findings, gaps, plots, run, timeline, tokens, transcript, words
from services.simulator.html.findings import Figure, share, verdict
from services.simulator.html.markup import Content, Html, el
from services.simulator.html.page import document, section
from services.simulator.html.story import Story, tell


def page(result: pb.SuiteResult, baseline: pb.SuiteResult | None = None) -> str:
    """The report of a suite as one HTML page.

    Args:
        result: The suite and its runs.
        baseline: A suite to compare it with, run by run, by their titles.
    """
    before = {one.title: one for one in baseline.runs} if baseline else {}
    stories = [tell(one.run) for one in result.runs]
    parts: list[tuple[str, str, Html]] = [
        ("matrix", "Matrix", section("matrix", "Matrix", _matrix(result), said=_SAID_OF_MATRIX)),
        ("runs", "Runs", section("runs", "Runs", _runs(result, stories, before))),
        ("checks", "Checks", section("checks", "Checks", _checks(result), said=_SAID_OF_CHECKS)),
        ("stories", "Stories", section("stories", "Stories", _stories(result, stories, before))),
    ]
    links = [(name, anchor) for anchor, name, _ in parts]
    took = words.day(result.end_time)
    foot = f"Filo, report of the suite {result.name}{f', ended {took}' if took else ''}. Everything here was counted."
    head = _head(result, stories, baseline)
    return document(f"Suite {result.name} - Filo", head, [part for _, _, part in parts], links, foot)


_SAID_OF_MATRIX = "Each persona against each kind of trouble; every mark is a run, and leads to it."
_SAID_OF_CHECKS = "Over all runs to which each applies."


def is_good(one: pb.SuiteRun) -> bool:
    """Whether it could be run, and passed."""
    return not one.error and one.run.report.passed


def figures(result: pb.SuiteResult, stories: Sequence[Story]) -> list[Figure]:
    """The totals."""
    told = [one.run.report for one in result.runs]
    good = sum(map(is_good, result.runs))
    cuts = [event.gap_ms for story in stories for event in story.cuts]
    done, planned = sum(one.turns_completed for one in told), sum(one.turns_planned for one in told)
    recalled, facts = sum(one.facts.recalled for one in told), sum(one.facts.asked for one in told)
    wrong = sum(one.lost_turns + one.duplicate_turns for one in told)
    frames = sum(one.audio.frames_lost + one.audio.frames_doubled for one in told)
    sent = sum(one.audio.frames_sent for one in told)
    billed = sum(one.tokens.billed for one in told)
    faults = sum(len(one.faults) for one in told)
    return [
        Figure("Runs passed", share(good, len(told)), good == len(told), good),
        Figure("Turns completed", share(done, planned), done == planned, done),
        Figure("Cuts survived", f"{len(cuts):,}", None, len(cuts), words.count(faults, "fault") if faults else ""),
        Figure("Longest gap", words.gap(max(cuts)) if cuts else "none", None, max(cuts, default=0)),
        Figure("Facts recalled", share(recalled, facts), recalled == facts, recalled),
        Figure("Turns lost or doubled", f"{wrong:,}", not wrong, wrong),
        Figure("Frames lost or doubled", f"{frames:,}", not frames, frames, f"of {sent:,} sent" if sent else ""),
        Figure("Tokens billed", f"{billed:,}", None, billed),
    ]


def _head(result: pb.SuiteResult, stories: Sequence[Story], baseline: pb.SuiteResult | None) -> Html:
    seconds = words.between(result.start_time, result.end_time) or 0.0
    good = sum(map(is_good, result.runs))
    talked = sum(one.run.report.conversation_seconds for one in result.runs)
    runs, took = words.count(len(result.runs), "run"), words.duration(seconds)
    said = f"{runs}, {words.duration(talked)} of conversation, in {took}."
    facts = [
        ("Started", words.day(result.start_time)),
        ("At once", words.count(result.parallel, "run")),
        ("Resumption", "off: the world before Filo" if result.no_resume else "on"),
        ("Baseline", f"{sum(map(is_good, baseline.runs))} of {len(baseline.runs)} passed" if baseline else ""),
    ]
    before = figures(baseline, [tell(one.run) for one in baseline.runs]) if baseline else ()
    text = f"{'Passed' if result.passed else 'Failed'}, {good} of {len(result.runs)} runs"
    return el(
        "div",
        el("p", "Suite", cls="kicker"),
        el("h1", result.name),
        el("p", verdict(good=result.passed, text=text), " ", said, cls="lede"),
        findings.tiles(figures(result, stories), before),
        el("dl", [el("div", el("dt", key), el("dd", value)) for key, value in facts if value], cls="facts"),
        id="summary",
        cls="head",
    )


def _matrix(result: pb.SuiteResult) -> Html:
    """Personas down, trouble across."""
    cells: dict[tuple[str, str], list[Html]] = {}
    for number, one in enumerate(result.runs, start=1):
        cells.setdefault((one.persona, _trouble(one)), []).append(_dot(number, one))
    personas = list(dict.fromkeys(who for who, _ in cells))
    troubles = list(dict.fromkeys(trouble for _, trouble in cells))
    rows: list[list[Content]] = [[who, *(cells.get((who, trouble)) for trouble in troubles)] for who in personas]
    return el("div", plots.table(("Persona", *troubles), rows, "Runs by persona and trouble"), cls="matrix")


def _trouble(one: pb.SuiteRun) -> str:
    if one.fault_plan:
        return one.fault_plan
    return "chaos" if one.run.spec.chaos else "limits only"


def _dot(number: int, one: pb.SuiteRun) -> Html:
    good = is_good(one)
    failed = _failed(one)
    word = "passed" if good else f"failed: {failed}"
    cls, said = ("dot good" if good else "dot bad"), f"{one.title}: {word}"
    return el("a", "✓" if good else "✕", href=f"#run-{number}", cls=cls, title=said, aria_label=said)


def _failed(one: pb.SuiteRun) -> str:
    failed = (check.name.replace("_", " ") for check in one.run.report.checks if not check.passed)
    return one.error or ", ".join(failed) or one.run.reason


def _score(one: pb.SuiteRun) -> str:
    """The mean of the scores of its checks, in percent."""
    found = [check.score for check in one.run.report.checks]
    return f"{sum(found) / len(found):.0%}" if found else ""


def _runs(result: pb.SuiteResult, stories: Sequence[Story], before: Mapping[str, pb.SuiteRun]) -> Html:
    rows: list[list[Content]] = []
    for number, (one, story) in enumerate(zip(result.runs, stories, strict=True), start=1):
        told = one.run.report
        then = before.get(one.title)
        rows.append(
            [
                [el("a", one.title, href=f"#run-{number}"), el("small", _failed(one))],
                verdict(good=is_good(one)),
                *([verdict(good=is_good(then)) if then else "–"] if before else ()),  # noqa: RUF001 - a dash
                _score(one),
                f"{told.turns_completed}/{told.turns_planned}",
                f"{len(told.faults)}",
                f"{len(story.cuts)}",
                words.gap(story.longest_gap) if story.cuts else "",
                f"{told.facts.recalled}/{told.facts.asked}",
                f"{told.lost_turns} / {told.duplicate_turns}",
                f"{story.largest_context:,}",
                f"{told.tokens.billed:,}",
            ]
        )
    heads = [
        "Run",
        "Result",
        *(["Baseline"] if before else ()),
        "Score",
        "Turns",
        "Faults",
        "Cuts",
        "Longest gap",
        "Facts",
    ]
    heads += ["Lost / doubled", "Context", "Billed"]
    return el("div", plots.table(heads, rows, "Runs"), cls="runs")


def _checks(result: pb.SuiteResult) -> Html:
    """Each check over all runs: how many passed, and the one that came off worst."""
    by_name: dict[str, list[tuple[int, pb.Check]]] = {}
    for number, one in enumerate(result.runs, start=1):
        for check in one.run.report.checks:
            by_name.setdefault(check.name, []).append((number, check))
    rows: list[list[Content]] = []
    for name, found in by_name.items():
        passed = sum(check.passed for _, check in found)
        number, worst = min(found, key=lambda pair: (pair[1].passed, pair[1].score, _headroom(pair[1])))
        rows.append(
            [
                el("strong", name.replace("_", " ")),
                verdict(good=passed == len(found), text=share(passed, len(found))),
                [worst.finding, " ", el("a", f"Run {number}", href=f"#run-{number}")],
            ]
        )
    return plots.table(("Check", "Passed", "The worst"), rows, "Checks over all runs")


def _headroom(check: pb.Check) -> float:
    """How far from its threshold a check that passed has stayed: the least is the worst."""
    return -abs(check.value) if check.value <= check.threshold else check.value


def _stories(result: pb.SuiteResult, stories: Sequence[Story], before: Mapping[str, pb.SuiteRun]) -> list[Html]:
    pairs = zip(result.runs, stories, strict=True)
    return [_story(number, one, story, before.get(one.title)) for number, (one, story) in enumerate(pairs, start=1)]


def _story(number: int, one: pb.SuiteRun, story: Story, before: pb.SuiteRun | None) -> Html:
    """One run, folded away until somebody asks for it."""
    anchor = f"run-{number}-"
    heading = el("h3", el("span", f"{number}", cls="number"), one.title, id=f"run-{number}")
    summary = el("summary", heading, verdict(good=is_good(one)))
    if one.error:
        return el("details", summary, el("p", f"It could not be run: {one.error}"), cls="story")
    baseline = tell(before.run) if before and not before.error else None
    found = [check for check in one.run.report.checks if not check.passed]
    content: list[Content] = [
        el("p", run.lede(story), cls="said"),
        findings.checks(story, found, anchor) if found else None,
        findings.compared(story, baseline) if baseline else None,
        timeline.draw(story, anchor),
        [el("h4", "Context"), tokens.context(story, baseline, anchor)] if story.largest_context else None,
        [el("h4", "Gaps"), gaps.draw(story, anchor)] if story.cuts else None,
        [el("h4", "Advice"), findings.advice(story, anchor)] if story.run.report.advice else None,
        el("h4", "Transcript"),
        transcript.draw(story, anchor),
    ]
    return el("details", summary, content, cls="story")
