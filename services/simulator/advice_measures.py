"""What is measured of a manager's advice in a run that has ended; as `measures`."""

from typing import Final

from filo.simulator.v1 import simulator_pb2 as pb
from services.simulator.measures import Case, Finding, some
from services.simulator.record import Record, Turn, said_in

_ADVICE_SHOWN: Final = 60
"""Characters of advice that an answer must repeat to follow it; the emulator's agent repeats 80."""
_BY_INSTRUCTION: Final = ("instruction", "replaced")
"""How the detail of advice begins that was taken out of the system instruction."""
_REBUILT: Final = ("rebased", "transcript")
"""Continuities of connections whose context was made from the transcript, which holds no advice."""


def _served(case: Case) -> list[tuple[pb.Advice, Turn]]:
    """Advice that was delivered, with the turn it served, where that has an answer; of several for one the newest."""
    newest = {item.turn: item for item in case.record.advice.values() if item.turn}
    pairs = [(item, case.record.turn(turn)) for turn, item in newest.items()]
    return [(item, turn) for item, turn in pairs if turn is not None and turn.completed and not turn.interrupted]


def advice_followed(case: Case) -> Finding | None:
    """Of the advice that was delivered, in the turn it served."""
    served = _served(case)
    if not served:
        return None
    missed = [(item, turn) for item, turn in served if not said_in(turn.agent, _gist(item))]
    share = 1 - len(missed) / len(served)
    text = f"{len(served) - len(missed)} of {len(served)} pieces of advice were followed in the turn they served."
    return Finding(share, text, share, [(turn.number, f"{item.text} - {turn.agent}") for item, turn in missed])


def advice_outlived(case: Case) -> Finding | None:
    """Answers that follow advice after it was taken out of the context."""
    removed = [item for item in case.record.advice.values() if item.state == "removed" and item.turn]
    if not removed:
        return None
    late = [
        (turn.number, f"still follows the advice of turn {item.turn}: {turn.agent}")
        for item in removed
        for turn in _without(case.record, item)
        if said_in(turn.agent, _gist(item))
    ]
    text = f"{some(len(late), 'answer', 'answers')} followed advice that had been taken out."
    return Finding(len(late), text, None, late)


def _without(record: Record, item: pb.Advice) -> list[Turn]:
    """The turns whose answers began when removed advice was gone.

    From the instruction it goes as its turn ends. In the talk it stays, as is told of it, until the session is rebuilt:
    the first time after its turn. It is gone at the latest when that is told, which is after the next usage.
    """
    served = record.turn(item.turn)
    later = [turn for turn in record.turns if turn.number > item.turn]
    if served is None or item.detail.startswith(_BY_INSTRUCTION):
        return later
    connections: list[pb.RotationMark | pb.ReconnectMark] = [*record.rotations, *record.reconnects]
    moments = [mark.time.ToDatetime() for mark in connections if mark.continuity in _REBUILT]
    gone = min([record.removals[item.id], *(at for at in moments if served.ended and at >= served.ended)])
    return [turn for turn in later if turn.answering and turn.answering >= gone]


def _gist(item: pb.Advice) -> str:
    return item.text[:_ADVICE_SHOWN].rstrip(". ")
