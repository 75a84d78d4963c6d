"""Faults strike when, where and as often as they say, and make nothing worse than they say."""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.config import ConfigError
from services.emulator import faults
from services.emulator.config import Settings
from services.emulator.effects import Began, Cut, SlowPongs, Stall
from services.emulator.faults import CloseFault, Conversation, CutFault, Moment, Plan
from services.emulator.session import Phase
from tests.support.session import Call, House, is_audio, is_turn_complete, is_update, kind

ANYBODY = Conversation()


def house(*planned: dict[str, Any]) -> House:
    """A house where these go wrong."""
    return House(faults=tuple(faults.read(json.dumps(planned))), lifetime=60.0, goaway_lead=10.0)


def resume(shared: House, first: Call) -> Call:
    """Hang up, and resume from the newest handle."""
    return shared.call(sessionResumption={"handle": first.hang_up().handle}, now=first.now)


@given(skip=st.integers(0, 3), times=st.integers(1, 3), moments=st.integers(0, 9))
def test_skip_and_times(skip: int, times: int, moments: int) -> None:
    """The first moments pass, then it strikes so many times, then never again; other moments are not its own."""
    plan = Plan([CutFault(when=Moment.ANSWER, skip=skip, times=times)])
    taken = [plan.take(Moment.ANSWER, ANYBODY) for _ in range(moments)]
    for _, strike in chain.from_iterable(taken):
        strike.befell()
    struck = list(map(bool, taken))
    assert struck == ([False] * skip + [True] * times + [False] * moments)[:moments]
    assert plan.take(Moment.TURN, ANYBODY) == []
    assert plan.report()[0]["struck"] == sum(struck)


def test_chance_is_repeatable() -> None:
    """The same seed strikes the same moments, with the same delays, within the spread."""
    fault = CutFault(when=Moment.TURN, after=1.0, spread=2.0, chance=0.5, times=1000)
    first, second = (Plan([fault], seed=3) for _ in range(2))
    struck = [[delay for delay, _ in first.take(Moment.TURN, ANYBODY)] for _ in range(200)]
    assert struck == [[delay for delay, _ in second.take(Moment.TURN, ANYBODY)] for _ in range(200)]
    delays = list(chain.from_iterable(struck))
    assert 50 < len(delays) < 150
    assert all(1.0 <= delay <= 3.0 for delay in delays)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"do": "explode", "when": "turn"}, "explode"),
        ({"do": "cut", "when": "never"}, "never"),
        ({"do": "cut"}, "when"),
        ({"do": "cut", "when": "turn", "afterwards": 1}, "afterwards"),
        ({"do": "close", "when": "turn", "code": 1006}, "1006"),
        ({"do": "close", "when": "turn", "code": 1016}, "1016"),
        ({"do": "close", "when": "turn", "code": 2999}, "2999"),
        ({"do": "close", "when": "turn", "code": 7}, "1000"),
        ({"do": "forget", "when": "open"}, "strikes when resume, not open"),
        ({"do": "suppress", "when": "turn"}, "strikes when update or goaway, not turn"),
        ({"do": "cut", "when": "turn", "after": -1}, "0"),
    ],
)
def test_what_is_no_fault_is_told(fault: dict[str, Any], problem: str) -> None:
    """A mistake in a plan is named, alone or in a list."""
    for text in (json.dumps(fault), json.dumps([fault])):
        with pytest.raises(ValueError, match=problem):
            faults.read(text)


def test_a_plan_from_a_file(tmp_path: Path) -> None:
    """The setting names a JSON file; a file that is missing or wrong is a problem like any other."""
    path = tmp_path / "plan.json"
    path.write_text('{"do": "close", "when": "turn", "code": 1011, "reason": "Deadline expired"}')
    settings = Settings.from_env({"FILO_EMULATOR_FAULTS": str(path)})
    assert settings.faults == (CloseFault(when=Moment.TURN, code=1011, reason="Deadline expired"),)
    path.write_text("[5]")
    for name, problem in ((path, "Expected `object`"), (tmp_path / "none", "No such file")):
        with pytest.raises(ConfigError, match=problem):
            Settings.from_env({"FILO_EMULATOR_FAULTS": str(name)})


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_a_close_in_the_middle_of_an_answer(after: float) -> None:
    """At any point of a turn, with any code and reason."""
    shared = house({"do": "close", "when": "answer", "after": after, "code": 1011, "reason": "Deadline expired"})
    call = shared.call().speak("Hello.").hush().wait(5.0)
    assert call.close is not None
    assert (call.close.code, call.close.reason) == (1011, "Deadline expired")
    began = call.time_of(lambda message: message == {"sessionResumptionUpdate": {}})
    assert call.effects[-1][0] == pytest.approx(began + after)
    assert any(is_audio(message) for message in call.messages) is bool(after)
    assert not any(is_turn_complete(message) for message in call.messages)


def test_a_cut() -> None:
    """The connection is cut when the user begins to speak, and the session is over."""
    call = house({"do": "cut", "when": "activity"}).call().wait(1.0).speak("Hello.").wait(5.0)
    assert call.effects[-1][1] == Cut()
    assert call.session.phase is Phase.CLOSED
    assert call.close is None


def test_a_stall() -> None:
    """The driver is told to send nothing for a while; the session itself goes on."""
    call = house({"do": "stall", "when": "turn", "seconds": 3}).call()
    call.ask("Hello.")
    assert Stall(3.0) in [effect for _, effect in call.effects]
    assert call.close is None


def test_refused_resumes() -> None:
    """The next two resumes are refused, the third is not; sessions without a handle are left alone."""
    refusal = {"code": 1011, "reason": "Internal error encountered."}
    shared = house({"do": "close", "when": "resume", "times": 2, **refusal})
    first = shared.call().wait(0.1)
    codes = []
    for _ in range(3):
        again = resume(shared, first)
        codes.append(again.close.code if again.close else None)
        again.hang_up()
    assert codes == [1011, 1011, None]


def test_poison_after_a_resume() -> None:
    """A resume is accepted, and then closed with 1007."""
    shared = house(
        {"do": "close", "when": "resumed", "after": 0.1, "code": 1007, "reason": "Precondition check failed."}
    )
    again = resume(shared, shared.call().wait(0.1)).wait(1.0)
    assert kind(again.messages[0]) == "setupComplete"
    assert again.close is not None
    assert again.close.code == 1007


@pytest.mark.parametrize(("what", "left"), [("audio", ["My cat is Tom."]), ("all", [])])
def test_a_false_resume(what: str, left: list[str]) -> None:
    """The handle is accepted, and the audio or everything is gone; nothing says so."""
    shared = house({"do": "forget", "when": "resume", "what": what})
    first = shared.call()
    first.ask("My dog is Rex.")
    first.send({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "My cat is Tom."}]}]}})
    first.ask("Go on.")
    again = resume(shared, first)
    (began,) = [fact for fact in again.facts if isinstance(fact, Began)]
    assert [turn.text for turn in began.context.turns] == left
    assert again.close is None


def test_no_goaway_and_no_handle() -> None:
    """The announcement and the updates can be kept back; the end comes all the same."""
    shared = house({"do": "suppress", "when": "goaway"}, {"do": "suppress", "when": "update", "times": 99})
    call = shared.call().wait(100.0)
    assert [kind(message) for message in call.messages] == ["setupComplete"]
    assert call.close is not None
    assert call.close.code == 1008


@pytest.mark.parametrize(("told", "message"), [(None, {"goAway": {}}), (0.5, {"goAway": {"timeLeft": "0.500s"}})])
def test_an_early_goaway(told: float | None, message: dict[str, Any]) -> None:
    """GoAway at any moment, with little or no time left, and the end soon after."""
    shared = house({"do": "goaway", "when": "turn", "time_left": told, "ends_in": 2})
    call = shared.call()
    call.speak("Hello.").hush().wait_for(is_turn_complete)
    told_at = call.now
    call.wait(5.0)
    assert message in call.messages
    assert any(is_update(sent) for sent in call.messages)
    assert call.effects[-1][0] == pytest.approx(told_at + 2)
    assert call.close is not None
    assert call.close.code == 1008


def test_a_fault_has_struck_when_its_delay_is_over_and_somebody_was_there() -> None:
    """Not at its moment, and not where the connection ended before."""
    shared = house({"do": "close", "when": "turn", "after": 3, "code": 1011}, {"do": "cut", "when": "turn", "after": 9})
    call = shared.call()
    call.speak("Hello.").hush().wait_for(is_turn_complete)
    assert [fault["struck"] for fault in shared.faults.report()] == [0, 0]
    call.wait(4.0)
    assert call.close is not None
    call.wait(20.0)
    assert [fault["struck"] for fault in shared.faults.report()] == [1, 0]


def test_slow_pongs() -> None:
    """The driver is told how long pings have to wait from that moment on."""
    call = house({"do": "pongs", "when": "turn", "seconds": 20}).call()
    assert SlowPongs(20.0) not in [effect for _, effect in call.effects]
    call.ask("Hello.")
    assert SlowPongs(20.0) in [effect for _, effect in call.effects]


def test_a_close_while_the_model_thinks() -> None:
    """Between the user's last word and the first of the answer there is a moment, too."""
    call = house({"do": "close", "when": "heard", "code": 1011}).call().speak("Hello.").hush().wait(5.0)
    assert call.close is not None
    assert not any(is_audio(message) for message in call.messages)


def test_a_fault_for_one_voice() -> None:
    """It waits for that voice, also where it is known only from the handle, and counts no other's moments."""
    shared = house({"do": "close", "when": "resume", "code": 1011, "voice": 8, "skip": 1})
    calls = {stream: shared.call().speak("Hello.", stream=stream).hush().wait(20.0) for stream in (7, 8)}
    codes = {}
    for stream, call in calls.items():
        for attempt in range(3):
            again = resume(shared, call)
            codes[stream, attempt] = again.close.code if again.close else None
            again.hang_up()
    assert {at for at, code in codes.items() if code} == {(8, 1)}


def test_a_fault_for_one_instruction() -> None:
    """It waits for sessions whose system instruction contains the words."""
    shared = house({"do": "cut", "when": "open", "instruction": "Ada", "times": 9})
    ada, bob = (shared.call(systemInstruction={"parts": [{"text": f"I am {name}."}]}) for name in ("Ada", "Bob"))
    assert (ada.session.phase, bob.session.phase) == (Phase.CLOSED, Phase.OPEN)


def test_a_fault_in_each_conversation() -> None:
    """Counted in each conversation on its own, over all its connections; the report counts them all."""
    shared = house({"do": "close", "when": "turn", "code": 1011, "each": True, "skip": 1})
    for _ in range(3):
        call = shared.call()
        call.ask("Hello.")
        again = resume(shared, call)
        again.speak("Hello.").hush().wait_for(is_turn_complete)
        assert again.close is not None
        third = resume(shared, again.hang_up())
        third.ask("Hello.")
        assert third.close is None
        third.hang_up()
    assert shared.faults.report()[0]["struck"] == 3
