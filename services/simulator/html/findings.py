"""What was found: figures at a glance, checks with their evidence, advice and what became of it, and the baseline."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.html import plots, words
from services.simulator.html.markup import Content, Html, el
from services.simulator.html.story import Story

ADVICE: Final = {
    "accepted": "not delivered yet",
    "superseded": "replaced by newer advice",
    "expired": "expired",
    "delivered": "delivered, still there",
    "removed": "delivered, then removed",
}
"""What became of advice, by its state."""

_SHOWN: Final = 5
"""Pieces of evidence that are shown at once."""


class Figure(NamedTuple):
    """A number at a glance.

    Attributes:
        name: What was counted.
        value: As it is shown.
        good: None where there is nothing to judge.
        number: The same to compare by; None where it cannot be compared.
        more: A note below.
    """

    name: str
    value: str
    good: bool | None = None
    number: float | None = None
    more: str = ""


def verdict(*, good: bool, text: str = "") -> Html:
    """Passed or failed, by colour, sign and word."""
    return el("span", text or ("Passed" if good else "Failed"), cls=f"verdict {'good' if good else 'bad'}")


def share(part: int, whole: int) -> str:
    """``3 of 4``."""
    return f"{part:,} of {whole:,}"


def figures(story: Story) -> list[Figure]:
    """The numbers of a run."""
    told, facts, audio = story.run.report, story.run.report.facts, story.run.report.audio
    whole = told.turns_completed == told.turns_planned
    gaps = [event.gap_ms for event in story.cuts]
    window = f"window {told.context_window:,}" if told.context_window else ""
    lost, doubled = told.lost_turns, told.duplicate_turns
    frames = f"of {audio.frames_sent:,} sent" if audio.frames_sent else ""
    wrong = audio.frames_lost + audio.frames_doubled
    return [
        Figure("Turns completed", share(told.turns_completed, told.turns_planned), whole, told.turns_completed),
        Figure("Cuts survived", f"{len(gaps):,}", None, len(gaps), _kinds(told)),
        Figure("Longest gap", words.gap(max(gaps)) if gaps else "none", None, max(gaps, default=0)),
        Figure("Facts recalled", share(facts.recalled, facts.asked), facts.recalled == facts.asked, facts.recalled),
        Figure("Turns lost or doubled", f"{lost + doubled:,}", not lost + doubled, lost + doubled, _again(told)),
        Figure("Frames lost or doubled", f"{wrong:,}", not wrong, wrong, frames),
        Figure("Largest context", f"{story.largest_context:,}", None, story.largest_context, window or "tokens"),
        Figure("Tokens billed", f"{told.tokens.billed:,}", None, told.tokens.billed),
    ]


def tiles(found: Sequence[Figure], before: Sequence[Figure] = ()) -> Html:
    """Figures at a glance, each with that of the baseline where there is one."""
    return el("dl", [_tile(figure, *before[at : at + 1]) for at, figure in enumerate(found)], cls="tiles")


def compared(story: Story, baseline: Story) -> Html:
    """A run beside its baseline, figure by figure."""
    rows: list[list[Content]] = [
        ["How it ended", _outcome(baseline.run), _outcome(story.run), ""],
        ["Checks passed", _passed(baseline.run.report), _passed(story.run.report), ""],
    ]
    for before, after in zip(figures(baseline), figures(story), strict=True):
        step = "" if before.number is None or after.number is None else words.change(before.number, after.number)
        rows.append([after.name, before.value, after.value, f"{step} ms" if "gap" in after.name else step])
    return plots.table(("What was counted", "Baseline", "This run", "Change"), rows, "This run beside the baseline")


def checks(story: Story, found: Sequence[pb.Check], anchor: str = "") -> Html:
    """Every check with what was found, what was allowed, and where it shows; those that failed first."""
    rows: list[list[Content]] = [
        [
            el("strong", check.name.replace("_", " ")),
            [el("p", check.finding), _evidence(story, check, anchor)],
            [words.amount(check.threshold)],
            verdict(good=check.passed),
        ]
        for check in sorted(found, key=lambda check: check.passed)
    ]
    return el("div", plots.table(("Check", "Finding", "Allowed", "Result"), rows, "Checks"), cls="checks")


def advice(story: Story, anchor: str = "") -> Html:
    """The manager's advice, and what became of it."""
    rows: list[list[Content]] = [
        [
            item.id,
            item.text,
            [
                el("strong", ADVICE.get(item.state, item.state)),
                f" · given after turn {item.given_after_turn}",
                [" · served ", _turn(story, item.turn, anchor)] if item.turn else None,
                f" · {item.detail}" if item.detail else None,
            ],
            f"{item.tokens:,}" if item.tokens else "",
        ]
        for item in story.run.report.advice
    ]
    return plots.table(("No.", "Advice", "What became of it", "Tokens"), rows, "Advice to the agent")


def _tile(figure: Figure, before: Figure | None = None) -> Html:
    cls = {None: "tile", True: "tile good", False: "tile bad"}[figure.good]
    note = f"baseline {before.value}" if before else figure.more
    return el(
        "div", el("dt", figure.name), el("dd", el("b", figure.value), el("small", note) if note else None), cls=cls
    )


def _kinds(told: pb.Report) -> str:
    parts = (
        (len(told.rotations), "rotation"), (len(told.client_reconnects), "return"), (len(told.takeovers), "takeover")
    )  # fmt: skip
    return ", ".join(words.count(number, name) for number, name in parts if number)


def _again(told: pb.Report) -> str:
    return f"{told.restarted_turns:,} asked again after a cut" if told.restarted_turns else ""


def _evidence(story: Story, check: pb.Check, anchor: str) -> Content:
    if not check.evidence or (check.passed and check.score == 1 and not check.value):
        return None
    shown = [
        el("li", [_turn(story, item.turn, anchor), ": "] if item.turn else None, item.text) for item in check.evidence
    ]
    listed = el("ul", shown[:_SHOWN], cls="evidence")
    if len(shown) > _SHOWN:
        rest = el("details", el("summary", f"{len(shown) - _SHOWN} more"), el("ul", shown[_SHOWN:], cls="evidence"))
        listed = el("div", listed, rest)
    return listed if not check.passed else el("details", el("summary", "Where it shows"), listed)


def _turn(story: Story, number: int, anchor: str) -> Content:
    """A link to the turn where there is one; a cut may come after the last."""
    text = f"turn\N{NO-BREAK SPACE}{number}"
    if number > len(story.turns):
        return text
    return el("a", text, href=f"#{anchor}turn-{number}")


def _outcome(run: pb.Run) -> str:
    return words.enum(pb.Outcome.Name(run.outcome), "OUTCOME_") or "running"


def _passed(told: pb.Report) -> str:
    return share(sum(check.passed for check in told.checks), len(told.checks))
