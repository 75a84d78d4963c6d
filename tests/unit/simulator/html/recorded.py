"""Records of made-up runs and suites, as the simulator would give them."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from filo.simulator.v1 import simulator_pb2 as pb

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=\"alert('got you')\"><b>&'\u202e\x1b[31m"
"""Text that would break out of a page, if anything did."""


def at(seconds: float) -> Timestamp:
    """A moment, in seconds after the start."""
    moment = Timestamp()
    moment.FromDatetime(START + timedelta(seconds=seconds))
    return moment


def line(number: int, said: str = "My company is Brightwater.", **more: object) -> pb.TranscriptLine:
    """A turn that began two seconds after the one before it."""
    began = 2.0 * (number - 1)
    told = {
        "turn": number,
        "prospect": said,
        "agent": f"Good to know, that is point {number}.",
        "phase": "discovery" if number < 3 else "demo",
        "prospect_time": at(began),
        "agent_time": at(began + 0.7),
        "complete_time": at(began + 1.5),
        "context_tokens": 300 + 100 * number,
        "context_by_category": {"instruction": 100, "user": 50 * number, "model": 50 * number},
        "billed_tokens": 400 * number,
        "deliveries": 1,
    } | more
    return pb.TranscriptLine(**told)  # type: ignore[arg-type]


def good_run(turns: int = 4) -> pb.Run:
    """Four turns with everything that can happen: cuts of each kind, a fault, advice, facts told and recalled."""
    fact = pb.Fact(phrase="company", value="Brightwater")
    lines = [line(number) for number in range(1, turns + 1)]
    lines[0].told.append(fact)
    lines[-1].asked.append(fact)
    lines[-1].prospect = "What is my company?"
    lines[-1].agent = "You told me your company is Brightwater."
    lines[-1].recalled = True
    return pb.Run(
        name="runs/r1",
        spec=pb.RunSpec(
            persona="skeptical",
            agent="ada",
            turns=turns,
            channel=pb.CHANNEL_VOICE,
            rotation=pb.ROTATION_RELAY,
            speed=10,
        ),
        outcome=pb.OUTCOME_COMPLETED,
        reason=f"All {turns} turns were completed.",
        turns_completed=turns,
        create_time=at(-1),
        end_time=at(2.0 * turns),
        transcript=lines,
        report=pb.Report(
            run_id="r1",
            outcome="completed",
            turns_planned=turns,
            turns_completed=turns,
            restarted_turns=1,
            facts=pb.Facts(planted=1, asked=1, recalled=1),
            rotations=[
                pb.RotationMark(at_turn=2, reason="go_away", continuity="handle", gap_ms=14, time=at(2.5)),
                pb.RotationMark(at_turn=3, reason="upstream_closed", continuity="none", gap_ms=900, time=at(3.8)),
            ],
            client_reconnects=[
                pb.ReconnectMark(at_turn=3, reason="cut", attempts=2, continuity="handle", gap_ms=1730, time=at(5.6))
            ],
            takeovers=[pb.TakeoverMark(at_turn=4, gap_ms=3000, time=at(6.2))],
            faults=[
                pb.FaultMark(at_turn=2, target="emulator", kind="cut", moment="answer", detail="2 s", time=at(2.4))
            ],
            audio=pb.Audio(frames_sent=1234),
            tokens=pb.Tokens(billed=400 * turns),
            context_window=32_000,
            counted_by="emulator",
            conversation_seconds=80,
            passed=False,
            checks=[
                pb.Check(name="lost_turns", passed=True, score=1, finding="0 turns are lost."),
                pb.Check(
                    name="longest_gap_ms",
                    score=0.5,
                    value=1730,
                    threshold=1000,
                    finding="The longest gap was 1,730 ms.",
                    evidence=[pb.Evidence(turn=3, text=f"gap {number}") for number in range(7)],
                ),
            ],
            advice=[
                pb.Advice(
                    id="1",
                    text="Ask for the budget.",
                    state="removed",
                    given_after_turn=1,
                    turn=2,
                    tokens=12,
                    detail="x",
                )
            ],
        ),
    )


def hostile_run() -> pb.Run:
    """A run in which every text that somebody else chose tries to break out of the page."""
    run = good_run()
    _poison(run)
    return run


def suite(*runs: pb.Run, error: str = "") -> pb.SuiteResult:
    """A suite of these runs, and perhaps of one that could not be run."""
    told = pb.SuiteResult(name="limits", parallel=4, start_time=at(0), end_time=at(60), passed=not error)
    for number, run in enumerate(runs, start=1):
        told.runs.add(title=f"run {number}", persona="skeptical", agent="ada", seed=number, run=run)
    if error:
        told.runs.add(title="broken", persona="hostile", fault_plan="cuts", error=error)
    return told


def _poison(message: object) -> None:
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type and field.message_type.GetOptions().map_entry:
            value[HOSTILE] = 7
        elif field.message_type and field.message_type.full_name.startswith("filo."):
            for part in value if field.is_repeated else [value]:
                _poison(part)
        elif field.type == field.TYPE_STRING and not field.is_repeated:
            setattr(message, field.name, HOSTILE)
