"""The transcript: what both said, on a thread that shows where it was cut and knotted again."""

from typing import Final

from services.simulator.html import words
from services.simulator.html.markup import Content, Html, el
from services.simulator.html.story import Event, Kind, Story, Turn

_KNOT: Final = "M2 12h5c4 0 4-6 8-3s-3 10-5 5 5-8 9-2h3"


def draw(story: Story, anchor: str = "") -> Html:
    """All turns, by phase.

    Args:
        story: The run.
        anchor: Comes before the anchor of each turn, where a page holds several runs.
    """
    shown: list[Content] = [_event(event) for event in story.before]
    for phase, turns in story.phases():
        if phase:
            shown.append(el("li", el("h3", phase), cls="phase"))
        shown.extend(_turn(turn, anchor) for turn in turns)
    return el("ol", shown, cls="talk")


def _turn(turn: Turn, anchor: str) -> list[Html]:
    line = turn.line
    spoken = el(
        "li",
        el("p", el("span", f"Turn {line.turn}, prospect: ", cls="hidden"), _told(turn), cls="user"),
        [_event(event, "div") for event in turn.during],
        el("p", el("span", "Agent: ", cls="hidden"), line.agent, cls="said-by-agent") if line.agent else _silent(),
        el(
            "p",
            el("a", f"{line.turn}", href=f"#{anchor}turn-{line.turn}", title="Link to this turn"),
            _notes(turn),
            cls="note",
        ),
        id=f"{anchor}turn-{line.turn}",
        cls="turn",
    )
    return [spoken, *(_event(event) for event in turn.after)]


def _silent() -> Html:
    return el("p", "No answer was heard to its end.", cls="said-by-agent missing")


def _told(turn: Turn) -> Content:
    """The prospect's line, with the facts that it tells marked."""
    rest, shown = turn.line.prospect, list[Content]()
    for fact in turn.line.told:
        before, found, after = rest.partition(fact.value)
        if found and fact.value:
            shown += [before, el("mark", found)]
            rest = after
    return [*shown, rest]


def _notes(turn: Turn) -> Content:
    line, parts = turn.line, list[Content]()
    if line.HasField("recalled"):
        asked = ", ".join(fact.phrase for fact in line.asked)
        text = f"recalled: {asked}" if line.recalled else f"forgotten: {asked}"
        parts.append(el("b", text, cls="good" if line.recalled else "bad"))
    if line.interrupted:
        parts.append("interrupted by the prospect")
    if line.restarted:
        parts.append("asked again after a cut")
    if line.deliveries > 1:
        parts.append(el("b", f"answered {line.deliveries} times", cls="bad"))
    if line.advice:
        parts.append(f"advised: {line.advice}")
    if turn.began is not None and turn.complete is not None:
        parts.append(f"{turn.began:.1f} to {turn.complete:.1f} s")
    if line.context_tokens:
        parts.append(f"{line.context_tokens:,} tokens")
    return [[" · ", part] for part in parts]


def _event(event: Event, element: str = "li") -> Html:
    if event.kind is Kind.FAULT:
        return el(element, el("b", event.title), f" · {event.detail}", cls="knot fault")
    drawn = el("svg", el("path", d=_KNOT), viewBox="0 0 24 24", aria_hidden="true")
    cls = f"knot {event.kind}{' lost' if event.lost else ''}"
    return el(element, drawn, el("b", event.title), f" · {event.detail} · gap {words.gap(event.gap_ms)}", cls=cls)
