"""Events and a report of a made-up run, as the simulator would send them."""

from google.protobuf import duration_pb2

from filo.simulator.v1 import simulator_pb2 as pb


def seconds(value: float) -> duration_pb2.Duration:
    """A duration."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(int(value * 1e9))
    return duration


def good_report() -> pb.Report:
    """Three turns, one rotation, two returns of the client, nothing lost."""
    return pb.Report(
        run_id="r1",
        outcome="completed",
        turns_planned=3,
        turns_completed=3,
        facts=pb.Facts(planted=2, asked=3, recalled=3),
        rotations=[pb.RotationMark(at_turn=2, reason="go_away", continuity="handle", gap_ms=84)],
        client_reconnects=[
            pb.ReconnectMark(at_turn=2, reason="cut", attempts=1, continuity="handle", gap_ms=1100),
            pb.ReconnectMark(at_turn=3, reason="cut", attempts=2, continuity="handle", gap_ms=2300),
        ],
        audio=pb.Audio(frames_sent=1234),
        tokens=pb.Tokens(context_by_turn=[300, 610, 905], billed=2**40, by_category={"user": 400, "model": 505}),
        restarted_turns=1,
        counted_by="emulator",
    )


def good_run() -> pb.Run:
    """The run of `good_report`."""
    return pb.Run(
        name="runs/r1",
        spec=pb.RunSpec(turns=3),
        outcome=pb.OUTCOME_COMPLETED,
        reason="Every turn was completed.",
        turns_completed=3,
        report=good_report(),
        transcript=[
            pb.TranscriptLine(turn=1, prospect="Hello.", agent="Hello, this is Ada."),
            pb.TranscriptLine(turn=2, prospect="My budget is 40 euros.", agent="Noted.", restarted=True),
            pb.TranscriptLine(turn=3, prospect="What is my budget?"),
        ],
    )


def events() -> list[pb.WatchRunResponse]:
    """What a watcher gets, one of every kind and a few more."""
    made = [
        pb.WatchRunResponse(started=pb.Started(conversation="conversations/c1")),
        pb.WatchRunResponse(turn=1, prospect_said=pb.ProspectSaid(text="Hello.", phase="discovery")),
        pb.WatchRunResponse(turn=1, agent_said=pb.AgentSaid(text="Hello, this is Ada.")),
        pb.WatchRunResponse(turn=1, tokens_counted=pb.TokensCounted(context=1300, billed=1300)),
        pb.WatchRunResponse(turn=2, prospect_said=pb.ProspectSaid(text="My budget is 40 euros.", phase="discovery")),
        pb.WatchRunResponse(turn=2, expiring=pb.Expiring(time_left=seconds(2), has_handle=True)),
        pb.WatchRunResponse(turn=2, restarted=pb.Restarted()),
        pb.WatchRunResponse(turn=2, rotated=good_report().rotations[0]),
        pb.WatchRunResponse(turn=2, agent_said=pb.AgentSaid(text="Noted.")),
        pb.WatchRunResponse(turn=3, prospect_said=pb.ProspectSaid(text="What is my budget?", phase="demo")),
        pb.WatchRunResponse(turn=3, disconnected=pb.Disconnected(code=1006)),
        pb.WatchRunResponse(turn=3, reconnecting=pb.Reconnecting(attempt=1, wait=seconds(1), reason="cut")),
        pb.WatchRunResponse(turn=3, reconnected=good_report().client_reconnects[1]),
        pb.WatchRunResponse(turn=3, agent_said=pb.AgentSaid(text="It is 40 euros.", recalled=True)),
        pb.WatchRunResponse(
            turn=3, fault_struck=pb.FaultMark(at_turn=3, target="emulator", kind="cut", moment="answer")
        ),
        pb.WatchRunResponse(turn=3, answering=pb.Answering()),
        pb.WatchRunResponse(turn=3, advised=pb.Advice(id="1", text="Ask for the budget.", state="delivered", turn=3)),
        pb.WatchRunResponse(turn=3, taken_over=pb.TakeoverMark(at_turn=3, gap_ms=900)),
        pb.WatchRunResponse(turn=3, finished=pb.Finished(run=good_run())),
    ]
    for number, event in enumerate(made, start=1):
        event.sequence = number
    return made
