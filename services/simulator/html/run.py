"""The report of one run."""

from collections.abc import Sequence
from pathlib import PurePath

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.html import findings, gaps, timeline, tokens, transcript, words
from services.simulator.html.markup import Content, Html, el
from services.simulator.html.page import document, section
from services.simulator.html.story import Story, tell

_UNTIL_THE_END = "It is still running: what follows is what is known so far."


def page(run: pb.Run, baseline: pb.Run | None = None) -> str:
    """The report of a run as one HTML page.

    Args:
        run: Its record, ended or still in progress.
        baseline: A run to compare it with.
    """
    story, before = tell(run), tell(baseline) if baseline else None
    shown = sections(story, before)
    links = [(name, anchor) for anchor, name, _ in shown]
    content = [part for _, _, part in shown]
    return document(f"{name(run)} - Filo", head(story, before), content, links, foot(run))


def name(run: pb.Run) -> str:
    """What a run is called: by its title, or by who talks to whom."""
    if run.spec.title:
        return run.spec.title
    against = PurePath(run.spec.fault_plan).stem
    return f"{PurePath(run.spec.persona).stem or 'prospect'}{f', {against}' if against else ''}"


def head(story: Story, baseline: Story | None = None) -> Html:
    """What the run was, and how it went."""
    run = story.run
    before = findings.figures(baseline) if baseline else ()
    return el(
        "div",
        el("p", "Training run", cls="kicker"),
        el("h1", name(run)),
        el("p", badge(run), " ", lede(story), cls="lede"),
        findings.tiles(findings.figures(story), before),
        el("dl", [el("div", el("dt", key), el("dd", value)) for key, value in asked(run)], cls="facts"),
        id="summary",
        cls="head",
    )


def badge(run: pb.Run) -> Html:
    """The verdict, and how many checks it rests on."""
    found = run.report.checks
    if not run.outcome:
        return el("span", "Running", cls="verdict")
    good = sum(check.passed for check in found)
    word = "Passed" if run.report.passed else "Failed"
    return findings.verdict(good=run.report.passed, text=f"{word}, {good} of {len(found)} checks")


def lede(story: Story) -> str:
    """How it went, in two or three sentences."""
    told = story.run.report
    parts = [story.run.reason or _UNTIL_THE_END]
    ends, returns = len(told.rotations), len(told.client_reconnects)
    if ends:
        parts.append(f"The connection to Gemini was replaced {words.times(ends)}.")
    if returns:
        parts.append(f"The client's socket came back {words.times(returns)}.")
    if told.faults:
        parts.append(f"{words.count(len(told.faults), 'fault')} struck on purpose.")
    if told.facts.asked:
        parts.append(
            f"The agent knew {told.facts.recalled} of the {words.count(told.facts.asked, 'fact')} it was asked for."
        )
    return " ".join(parts)


def asked(run: pb.Run) -> list[tuple[str, str]]:
    """What was asked for, and when; what is empty is left out."""
    spec = run.spec
    played = words.enum(pb.ProspectKind.Name(spec.prospect), "PROSPECT_KIND_")
    rotation = words.enum(pb.Rotation.Name(spec.rotation), "ROTATION_")
    chaos = f"chaos {spec.chaos:g}" if spec.chaos else ""
    seconds = words.between(run.create_time, run.end_time) or 0.0
    rows = [
        ("Prospect", ", ".join(part for part in (PurePath(spec.persona).stem, played) if part)),
        ("Agent", PurePath(spec.agent).stem),
        ("Model", spec.model.removeprefix("models/")),
        ("Channel", words.enum(pb.Channel.Name(spec.channel), "CHANNEL_")),
        ("Rotation by", "nobody: no resumption" if spec.no_resume else rotation),
        ("Faults", ", ".join(part for part in (PurePath(spec.fault_plan).stem, chaos) if part)),
        ("Manager", words.enum(pb.ManagerKind.Name(spec.manager), "MANAGER_KIND_")),
        ("Seed", str(spec.seed)),
        ("Pace", f"{spec.speed:g} times real time" if spec.speed else ""),
        ("Talked for", words.duration(run.report.conversation_seconds) if run.report.conversation_seconds else ""),
        ("Took", words.duration(seconds) if seconds > 0 else ""),
        ("Started", words.day(run.create_time)),
        ("Counted by", "the emulator's own account" if run.report.counted_by == "emulator" else run.report.counted_by),
        ("Run", run.name.removeprefix("runs/")),
    ]  # fmt: skip
    return [(key, value.strip()) for key, value in rows if value.strip()]


def sections(story: Story, baseline: Story | None = None) -> list[tuple[str, str, Html]]:
    """Everything after the head: anchor, name and content of each section that has anything to say."""
    told = story.run.report
    found: Sequence[tuple[str, str, str, Content]] = (
        ("timeline", "Timeline", _pace(story), timeline.draw(story)),
        ("context", "Context", "Tokens in the agent's context after each turn, by what they are for.",
         tokens.context(story, baseline)),
        ("gaps", "Gaps", "How long the conversation was without a connection, cut by cut.", gaps.draw(story)),
        ("billed", "Billed", "Every turn bills the whole context again; this is the sum since the run began.",
         tokens.billed(story, baseline)),
        ("baseline", "Baseline", "", findings.compared(story, baseline) if baseline else None),
        ("checks", "Checks", "", findings.checks(story, told.checks) if told.checks else None),
        ("advice", "Advice", "What the sales manager told the agent in private, and what became of it.",
         findings.advice(story) if told.advice else None),
        ("transcript", "Transcript", "Facts that the prospect tells are marked. At each knot the thread was cut.",
         transcript.draw(story) if story.turns else None),
    )  # fmt: skip
    return [
        (anchor, title, section(anchor, title, content, said=said)) for anchor, title, said, content in found if content
    ]


def foot(run: pb.Run) -> str:
    """Where the page comes from."""
    ended = words.day(run.end_time)
    return f"Filo, report of {run.name or 'a run'}{f', ended {ended}' if ended else ''}. Everything here was counted."


def _pace(story: Story) -> str:
    speed = story.run.spec.speed
    paced = f" Both speak {speed:g} times as fast as people do." if speed not in {0, 1} else ""
    return f"Who speaks, by the clock in seconds; the thread below them is the connection.{paced}"
