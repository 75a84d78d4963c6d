"""A connection: its setup, its age, its handles, and how it is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.emulator.effects import Began, Continued
from services.emulator.session import HELD, Phase
from tests.support.session import TEXT_MODEL, House, audio, content, is_turn_complete, is_update, kind, setup, text


def test_setup_is_answered_at_once_and_a_handle_follows() -> None:
    """After the setup come setupComplete and, 20 to 70 ms later, a handle."""
    call = House().call(now=5.0)
    assert call.messages == [{"setupComplete": {}}]
    call.wait(1.0)
    assert [kind(message) for message in call.messages] == ["setupComplete", "sessionResumptionUpdate"]
    assert call.messages[1]["sessionResumptionUpdate"]["resumable"] is True
    assert 5.020 <= call.time_of(is_update) <= 5.070


def test_without_session_resumption_no_update_comes() -> None:
    """A client that does not ask for handles gets none, and no word about being resumable."""
    call = House().call(sessionResumption=None)
    call.ask("Good morning.")
    assert not [message for message in call.messages if "sessionResumptionUpdate" in message]


def test_the_connection_is_told_its_end_and_then_closed() -> None:
    """GoAway says the time left; at the lifetime's end the close is 1008 with the documented reason, cut to fit."""
    call = House(lifetime=6.0, goaway_lead=1.5).call().wait(10.0)
    assert {"goAway": {"timeLeft": "1.500s"}} in call.messages
    assert call.time_of(lambda message: "goAway" in message) == pytest.approx(4.5)
    assert call.effects[-1][0] == pytest.approx(6.0)
    assert call.close is not None
    assert call.close.code == 1008
    assert call.close.wire_reason.endswith(b"after receiving a GoAway signal once the session durat")


def test_the_connection_ends_in_the_middle_of_an_answer() -> None:
    """The end of life waits for nothing, and nothing is sent after it."""
    call = House(lifetime=6.0, goaway_lead=0.0, speed=0.1).call().speak("Hello.").hush().wait(20.0)
    assert call.session.phase is Phase.CLOSED
    assert call.close is not None
    assert not [message for message in call.messages if is_turn_complete(message) or "goAway" in message]


def test_a_resumed_session_knows_exactly_what_the_handle_holds() -> None:
    """A resume from an older handle gives the turns completed when it was issued: no later one, no unanswered audio."""
    house = House()
    first = house.call()
    first.ask("My dog is Rex.")
    context, handle = first.context, first.handle
    first.ask("My cat is Tom.")
    first.speak("This was never answered.").hang_up()

    second = house.call(sessionResumption={"handle": handle}, now=first.now)
    (began,) = [fact for fact in second.facts if isinstance(fact, Began)]
    assert began == Began(Continued.HANDLE, context)
    assert second.ask("What is my dog?") == "You told me your dog is Rex."
    assert second.ask("What is my cat?") == "I am sorry, I do not think you told me your cat."


def test_a_cut_answer_leaves_no_trace_behind_the_earlier_handle() -> None:
    """When the connection ends mid-answer, the newest handle is still the one before that turn."""
    house = House()
    first = house.call()
    first.ask("Hello.")
    before, handle = first.context, first.handle
    first.speak("My fish is Bob.").hush().wait(0.5)
    assert {"sessionResumptionUpdate": {}} in first.messages
    assert first.handle == handle
    second = house.call(sessionResumption={"handle": handle}, now=first.hang_up().now)
    assert [fact for fact in second.facts if isinstance(fact, Began)] == [Began(Continued.HANDLE, before)]


def test_the_system_instruction_is_the_new_setups() -> None:
    """A resume takes the instruction from its own setup; without one there is none."""
    house = House()
    first = house.call(systemInstruction={"parts": [{"text": "Your name is Ada."}]})
    assert first.ask("Hello.").startswith("Hello, this is Ada from the emulator.")
    second = house.call(sessionResumption={"handle": first.hang_up().handle}, now=first.now)
    (began,) = [fact for fact in second.facts if isinstance(fact, Began)]
    assert began.context.instruction == ""
    assert began.context.turns == first.context.turns


def test_a_resume_is_refused_while_the_old_socket_is_open() -> None:
    """1011 until the old close handshake is done; then the same handle works."""
    house = House()
    first = house.call().wait(0.1)
    refused = house.call(sessionResumption={"handle": first.handle}, now=first.now)
    assert refused.close is not None
    assert refused.close.code == 1011
    first.hang_up()
    assert house.call(sessionResumption={"handle": first.handle}, now=first.now).close is None


def test_the_refusal_while_open_is_a_switch() -> None:
    """With the switch off a resume may overtake the close of the old socket."""
    house = House(refuse_resume_while_open=False)
    first = house.call().wait(0.1)
    assert house.call(sessionResumption={"handle": first.handle}, now=first.now).close is None


@pytest.mark.parametrize(
    ("vertex", "setting", "life"),
    [(False, None, 7_200.0), (True, None, 86_400.0), (False, 100.0, 100.0), (True, 100.0, 100.0)],
)
def test_a_dead_handle_is_not_found(vertex: bool, setting: float | None, life: float) -> None:  # noqa: FBT001 - a table
    """Two hours after its session ended, on Vertex a day, or as set, a handle is as unknown as one that never was."""
    house = House(handle_lifetime=setting)
    first = house.call(vertex=vertex).wait(0.1).hang_up()
    for age in (life, life + 1_800.0):
        for handle in (first.handle, "never issued"):
            call = house.call(vertex=vertex, sessionResumption={"handle": handle}, now=first.now + age)
            assert call.close is not None
            assert (call.close.code, call.close.reason) == (1008, "BidiGenerateContent session not found")
    again = {"handle": first.handle}
    assert house.call(vertex=vertex, sessionResumption=again, now=first.now + life - 1.0).close is None


def test_a_handle_is_good_for_its_own_model_only() -> None:
    """Anything may change at a resume but the model."""
    house = House()
    first = house.call().wait(0.1).hang_up()
    call = house.call(model=TEXT_MODEL, sessionResumption={"handle": first.handle}, now=first.now)
    assert call.close is not None
    assert call.close.code == 1007


def test_initial_history_is_known_and_not_answered() -> None:
    """History is context, not a question; input that comes before its end is held, in order."""
    call = House().call(historyConfig={"initialHistoryInClientContent": True})
    call.speak("What is my dog?").hush()
    call.send(content(("user", "My dog is Rex."), complete=False)).wait(5.0)
    assert call.session.phase is Phase.HISTORY
    assert not [message for message in call.messages if is_turn_complete(message)]
    call.send(content(("model", "Noted.")))
    call.wait_for(is_turn_complete)
    assert [turn.text for turn in call.context.turns] == [
        "My dog is Rex.",
        "Noted.",
        "What is my dog?",
        "You told me your dog is Rex.",
    ]
    assert [fact.continued for fact in call.facts if isinstance(fact, Began)] == [Continued.NEW, Continued.HISTORY]


def test_history_has_a_bound() -> None:
    """A client that never ends its history and goes on sending is refused."""
    call = House().call(historyConfig={"initialHistoryInClientContent": True})
    for _ in range(HELD + 1):
        call.send(text("Hello?"))
    assert call.close is not None
    assert call.close.code == 1007


@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [
        ("", 1008, "Method doesn't allow unregistered callers"),
        ("bad-key", 1007, "API key not valid. Please pass a valid API key."),
    ],
)
def test_a_key_is_checked_at_the_setup(key: str, code: int, reason: str) -> None:
    """A wrong key is a close after the setup, not an HTTP error; before the setup nothing happens."""
    call = House().call(key=key, greet=False).wait(1.0)
    assert call.close is None
    call.send(setup())
    assert call.close is not None
    assert call.close.code == code
    assert call.close.reason.startswith(reason)
    assert call.messages == []


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        (setup("models/gemini-nope"), 1008, "models/gemini-nope is not found for API version v1beta, or is not"),
        (setup(generationConfig={"responseModalities": ["TEXT"]}), 1007, "Request contains an invalid argument."),
        (setup(generationConfig={"responseModalities": ["IMAGE"]}), 1007, "Request contains an invalid argument."),
        (setup(generationConfig={"responseModalities": ["SMELL"]}), 1007, "Invalid value at 'setup.generation_config."),
        (audio(b"\0\0"), 1007, "Request contains an invalid argument."),
        (content(("user", "Hi.")), 1007, "Request contains an invalid argument."),
        ("{", 1007, "Invalid JSON payload received."),
    ],
)
def test_a_first_message_that_cannot_be_accepted(message: dict[str, object] | str, code: int, reason: str) -> None:
    """Whatever is not an acceptable setup ends the connection, as observed."""
    call = House().call(greet=False).send(message)
    assert call.close is not None
    assert call.close.code == code
    assert call.close.reason.startswith(reason)
    assert call.messages == []


def test_a_second_setup_is_refused() -> None:
    """The setup is the first message and no other."""
    call = House().call().send(setup())
    assert call.close is not None
    assert call.close.code == 1007


def test_a_closed_session_is_deaf_and_mute() -> None:
    """After the close nothing is due, and nothing that arrives has an effect."""
    call = House().call(greet=False).send("nonsense")
    effects = list(call.effects)
    call.send(setup()).wait(1000.0)
    assert call.session.due is None
    assert call.effects == effects


@given(frames=st.lists(st.one_of(st.binary(max_size=200), st.text(max_size=200)), min_size=1, max_size=5))
def test_garbage_is_always_answered_by_a_close(frames: list[bytes | str]) -> None:
    """No frame makes the session raise; each is refused with a code and a reason that fits."""
    call = House().call()
    for frame in frames:
        call.send(frame)
    assert call.close is not None
    assert call.close.code == 1007
    assert 0 < len(call.close.wire_reason) <= 123
