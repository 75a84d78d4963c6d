"""The account counts what arrived, connection by connection, and what the newest context holds."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import logs
from services.common.voice import Heard
from services.emulator import categories, closes
from services.emulator.account import HANDLES, Account
from services.emulator.categories import Category, Prompt
from services.emulator.closes import Close
from services.emulator.context import Context, Gone, Kind, Role, Turn, text_turn
from services.emulator.effects import Answered, Asked, Began, ContextChanged, Continued, Issued, VoiceHeard
from services.emulator.faults import Loss
from services.emulator.mishaps import remaining
from services.emulator.profiles import Backend
from services.emulator.runs import Runs
from services.emulator.session import Phase
from services.emulator.tokens import Tokens
from tests.support.session import Call, House, audio, content, is_turn_complete, text

TOOLS = [{"functionDeclarations": [{"name": "get_price"}]}]


def spoken(*frames: tuple[int, int], stream: int = 7) -> Turn:
    """A turn of the user's audio with these frames."""
    return Turn(Role.USER, Kind.AUDIO, "Hi.", Tokens(), stream, (0,), frames)


def hear(account: Account, connection: str, frames: range, stream: int = 7) -> None:
    """Let frames of a voice arrive on a connection."""
    for frame in frames:
        account.note(connection, VoiceHeard(Heard(stream, frame, 0, first=False, last=False, text="")))


def frames_of(account: Account) -> tuple[int, int, int, int]:
    """The four counts of voice 7."""
    report = account.voice(7)
    assert report is not None
    return tuple(report["frames"].values())


def test_one_connection() -> None:
    """Frames received, frames in context, greetings and tokens are exactly what the session told."""
    account = Account()
    account.opened("c1", 1000.0)
    account.note("c1", Began(Continued.NEW, Context()))
    hear(account, "c1", range(10))
    account.note("c1", ContextChanged(Context(turns=(spoken((0, 4)),))))
    account.note("c1", Answered(Prompt(Tokens(text=5, audio=10)), Tokens(audio=7), greeting=True))
    second = Prompt(Tokens(audio=30), Tokens(text=5, audio=10))
    account.note("c1", Answered(second, Tokens(audio=8), greeting=False))
    report = account.voice(7)
    assert report is not None
    (connection,) = report.pop("connections")
    told = ("id", "opened_at", "conversation", "continued", "frames_received", "frames", "closed")
    assert {name: connection[name] for name in told} == {
        "id": "c1",
        "opened_at": 1000.0,
        "conversation": "c1",
        "continued": "new",
        "frames_received": 10,
        "frames": [[0, 9]],
        "closed": None,
    }
    assert report == {
        "stream": 7,
        "connections_dropped": 0,
        "conversations": ["c1"],
        "context": [{"role": "user", "kind": "audio", "text": "Hi.", "utterances": [0], "frames": [[0, 4]]}],
        "compressed": 0,
        "compressed_frames": [],
        "compressed_texts": [],
        "frames": {"distinct_received": 10, "in_context": 5, "missing_in_context": 0, "repeated_in_context": 0},
        "greetings": 1,
        "tokens": {
            "prompt_last": 30,
            "response_last": 8,
            "billed_prompt": 45,
            "billed_response": 15,
            "billed_cached": 15,
        },
    }


def test_a_resumed_session_is_linked_before_it_is_heard() -> None:
    """A context that holds a voice belongs to its account at once; the newest context is the one shown."""
    account = Account()
    account.opened("c1", 1.0)
    account.note("c1", Began(Continued.NEW, Context()))
    hear(account, "c1", range(5))
    account.note("c1", ContextChanged(Context(turns=(spoken((0, 4)), text_turn(Role.MODEL, "Lost.")))))
    account.closed("c1", closes.LIFETIME)
    account.opened("c2", 2.0)
    account.note("c2", Asked("m", Backend.DEVELOPER, "c1", "handle"))
    account.note("c2", Began(Continued.HANDLE, Context(turns=(spoken((0, 4)),))))
    report = account.voice(7)
    assert report is not None
    assert [entry["continued"] for entry in report["connections"]] == ["new", "handle"]
    assert report["connections"][0]["closed"]["code"] == 1008
    assert len(report["connections"][0]["closed"]["reason"]) == 123
    assert len(report["context"]) == 1


def test_a_refused_connection_does_not_hide_the_context() -> None:
    """Until a newer session has begun, the last one that had a context counts."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(5))
    account.note("c1", ContextChanged(Context(turns=(spoken((0, 4)),))))
    account.opened("c2", 2.0)
    hear(account, "c2", range(5))
    assert frames_of(account) == (5, 5, 0, 0)


@pytest.mark.parametrize(
    ("held", "counts"),
    [
        (((0, 9),), (20, 10, 0, 0)),
        (((0, 3), (6, 9)), (20, 8, 2, 0)),
        (((5, 9),), (20, 5, 5, 0)),
        (((0, 9), (5, 9)), (20, 10, 0, 5)),
    ],
)
def test_holes_and_repetitions(held: Runs, counts: tuple[int, int, int, int]) -> None:
    """Missing is every hole from frame 0 to the highest in the context; repeated is every frame that is there again."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(20))
    account.note("c1", ContextChanged(Context(turns=tuple(spoken(run) for run in held))))
    assert frames_of(account) == counts


@pytest.mark.parametrize(
    ("context", "missing"),
    [
        (Context(prefix=1), 1),
        (Context(compressed=1, gone=Gone(((7, ((0, 9),)),))), 1),
        (Context(compressed=1, gone=Gone(((7, ((0, 4),)),))), 6),
        (Context(compressed=1, gone=Gone(((8, ((0, 9),)),))), 11),
    ],
)
def test_a_context_that_begins_later_has_no_holes_that_are_explained(context: Context, missing: int) -> None:
    """Where the beginning came as history; what compression dropped of this voice; every other frame is missing."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(20))
    turns = (text_turn(Role.USER, "Earlier."), spoken((10, 12)), spoken((14, 15)))
    account.note("c1", ContextChanged(replace(context, turns=turns)))
    assert frames_of(account) == (20, 5, missing, 0)


def test_what_compression_has_dropped_is_told() -> None:
    """The frames of the voice and the texts, by the newest context; a false resume does not hide them."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(20))
    gone = Gone().plus([spoken((0, 3)), text_turn(Role.MODEL, "Hm."), spoken((4, 9)), text_turn(Role.USER, "Earlier.")])
    known = Context(turns=(spoken((10, 12)),), compressed=4, gone=gone)
    for context in (known, remaining(known, Loss.ALL), remaining(known, Loss.AUDIO)):
        account.note("c1", ContextChanged(context))
        report = account.voice(7)
        assert report is not None
        assert (report["compressed_frames"], report["compressed_texts"]) == ([[0, 9]], ["Earlier."])


def test_voices_are_apart() -> None:
    """Two voices on one connection have their own frames, and a voice that was never heard has no account."""
    account = Account()
    account.opened("c1", 1.0)
    hear(account, "c1", range(5))
    hear(account, "c1", range(3), stream=8)
    counts = {stream: (account.voice(stream) or {})["connections"][0]["frames_received"] for stream in (7, 8)}
    assert counts == {7: 5, 8: 3}
    assert account.voice(9) is None


def test_the_voices_are_bounded() -> None:
    """The voice heard least recently is forgotten first."""
    account = Account(remembered=2)
    account.opened("c1", 1.0)
    for stream in (1, 2, 1, 3):
        hear(account, "c1", range(1), stream=stream)
    assert list(account.voices) == [1, 3]


def accounted(*calls: Call) -> Account:
    """The account of these connections, which are c1, c2, ... of one house."""
    account = Account()
    for number, call in enumerate(calls, 1):
        account.opened(f"c{number}", float(number))
        for fact in call.facts:
            account.note(f"c{number}", fact)
        if call.session.phase is Phase.CLOSED:
            account.closed(f"c{number}", call.close or Close(1000, ""))
    return account


def conversation(account: Account, name: str = "c1") -> dict[str, Any]:
    """The account of a conversation."""
    report = account.conversation(name)
    assert report is not None
    return report


def test_a_conversation_without_any_voice() -> None:
    """One that only types is known by its id: what was typed, what the instruction is, what it all costs."""
    instruction = "Your name is Ada."
    call = House().call(systemInstruction={"parts": [{"text": instruction}]}, tools=TOOLS)
    call.send(content(("user", "[SALES_MANAGER_INSTRUCTION] Be brief."), complete=False))
    call.send(text("My dog is Rex.")).wait_for(is_turn_complete)
    report = conversation(accounted(call))
    assert (report["instruction"], report["voices"], report["open"]) == (instruction, [], True)
    assert [(item["role"], item["category"], item["kind"], item["history"]) for item in report["context"]] == [
        ("user", "feedback", "text", False),
        ("user", "user", "text", False),
        ("model", "model", "audio", False),
    ]
    advice, said, answer = (item["tokens"] for item in report["context"])
    declared = math.ceil(len(report["tools"]) / 4)
    assert report["tokens"]["context"]["by_category"] == {
        "instruction": math.ceil(len(instruction) / 4),
        "user": said["text"],
        "model": answer["audio"],
        "feedback": advice["text"],
        "tools": declared,
    }
    assert report["tokens"]["last"]["prompt"]["by_category"]["model"] == 0
    assert report["tokens"]["billed"]["response"]["by_modality"]["audio"] == answer["audio"]


def test_a_conversation_over_several_connections() -> None:
    """Each says what it went on from, which frames reached it, which handles it was told, and how it ended."""
    house = House()
    first = house.call()
    first.ask("My dog is Rex.")
    handle = first.handle
    first.hang_up()
    resumption = {"handle": handle}
    second = house.call(sessionResumption=resumption, now=first.now)
    second.frame, second.utterance = first.frame, first.utterance
    second.ask("What is my dog?")
    refused = house.call(sessionResumption=resumption, now=second.now)
    unknown = house.call(sessionResumption={"handle": "never issued"}, now=second.now)
    account = accounted(first, second, refused, unknown)
    report = conversation(account)
    one, two, three = report["connections"]
    assert [entry["continued"] for entry in (one, two, three)] == ["new", "handle", None]
    assert [entry["resumed_from"] for entry in (one, two, three)] == [None, "c1", "c1"]
    assert two["handle"] == three["handle"] == one["handles"][-1]["handle"] == logs.fingerprint(handle)
    assert [issued["pieces"] for issued in one["handles"]] == [0, 2]
    assert one["frames"] == {"7": [[0, first.frame - 1]]}
    assert two["frames"] == {"7": [[first.frame, second.frame - 1]]}
    assert three["closed"] == {"code": 1011, "reason": "Internal error encountered."}
    assert report["frames"] == {
        "7": {
            "distinct_received": second.frame,
            "in_context": second.frame,
            "missing_in_context": 0,
            "repeated_in_context": 0,
        }
    }
    assert report["connections_count"] == 3
    assert report["tokens"]["billed"]["answers"] == 2
    (lost,) = account.refusals()
    assert (lost["id"], lost["conversation"], lost["handle"]) == ("c4", None, logs.fingerprint("never issued"))
    assert lost["closed"]["code"] == 1008
    (voice,) = [account.voice(7)]
    assert voice is not None
    assert voice["conversations"] == ["c1"]


def test_a_conversation_that_began_with_history() -> None:
    """What came as history is marked so, whatever it is, and the tool calls in it are tools."""
    parts = [{"text": "My dog is Rex."}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    turns = [
        {"role": "user", "parts": parts},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"b": 2}}}]},
    ]
    call = House().call(historyConfig={"initialHistoryInClientContent": True})
    call.send({"clientContent": {"turns": turns, "turnComplete": True}})
    call.ask("What is my dog?")
    report = conversation(accounted(call))
    assert report["connections"][0]["continued"] == "history"
    assert [(item["category"], item["kind"], item["history"]) for item in report["context"]] == [
        ("user", "text", True),
        ("user", "image", True),
        ("tools", "tool", True),
        ("tools", "tool", True),
        ("user", "audio", False),
        ("model", "audio", False),
    ]
    assert report["tokens"]["last"]["prompt"]["by_modality"]["image"] == 258


def test_ordinary_audio_is_accounted_for_by_its_length() -> None:
    """A recording has no frames to tell, but its seconds and its tokens are there."""
    call = House().call().send(audio(b"\x00\x20" * 16_000)).hush()
    call.wait_for(is_turn_complete)
    report = conversation(accounted(call))
    assert report["connections"][0]["audio_seconds"] == pytest.approx(1.6)
    assert report["connections"][0]["frames"] == {}
    assert report["context"][0]["text"] == "(unknown speech, 1.0 s)"
    assert report["context"][0]["tokens"]["audio"] == 25


def test_a_rebuilt_conversation_is_a_new_one_and_both_are_told() -> None:
    """The emulator cannot know that it is the same; the voice knows both, and the old context is still there."""
    house = House()
    first = house.call()
    first.ask("My dog is Rex.")
    first.hang_up()
    second = house.call(historyConfig={"initialHistoryInClientContent": True}, now=first.now)
    second.send(content(("user", "My dog is Rex."))).ask("What is my dog?")
    account = accounted(first, second)
    assert [entry["id"] for entry in account.listed(10)] == ["c2", "c1"]
    assert [entry["id"] for entry in account.listed(1)] == ["c2"]
    assert len(conversation(account)["context"]) == 2
    assert conversation(account, "c1")["open"] is False
    voice = account.voice(7)
    assert voice is not None
    assert voice["conversations"] == ["c1", "c2"]
    assert len(voice["context"]) == 3


def test_the_conversations_are_bounded() -> None:
    """The one in which nothing happened for longest is forgotten first, with what it knew."""
    house, account = House(), Account(remembered=2)
    for number, stays in enumerate((False, True, False, False), 1):
        name = f"c{number}"
        account.opened(name, 0.0)
        for fact in house.call().facts:
            account.note(name, fact)
        if not stays and account.conversation("c2") is not None:
            account.note("c2", ContextChanged(Context(turns=(spoken((0, 1)),))))
    assert [entry["id"] for entry in account.listed(10)] == ["c2", "c4"]
    assert account.conversation("c1") is account.conversation("c3") is None


@given(
    instruction=st.text(max_size=60) | st.just("Be kind.\n[SALES_MANAGER_INSTRUCTION] Sell.\nSmile."),
    pieces=st.lists(
        st.builds(
            Turn,
            st.sampled_from(Role),
            st.sampled_from(Kind),
            st.sampled_from(["Hello.", " [SALES_MANAGER_INSTRUCTION] Sell.", ""]),
            st.builds(Tokens, *[st.integers(0, 500)] * 5),
        ),
        max_size=8,
    ),
    tools=st.text(max_size=30),
)
def test_every_token_is_in_one_category(instruction: str, pieces: list[Turn], tools: str) -> None:
    """All categories together are the prompt, modality by modality, whatever a context holds."""
    context = Context(instruction, tuple(pieces), tools=tools)
    costs = categories.split(context)
    assert sum(costs.values(), start=Tokens()) == context.tokens
    assert min(cost.text for cost in costs.values()) >= 0


def test_advice_in_the_instruction_is_feedback() -> None:
    """From the mark to the end of its line; the rest of the instruction is instruction."""
    advice = "[SALES_MANAGER_INSTRUCTION] Sell."
    costs = categories.split(Context(f"Be kind.\n{advice}\nSmile."))
    assert costs[Category.FEEDBACK] == Tokens(text=math.ceil(len(advice) / 4))
    assert costs[Category.INSTRUCTION] == Tokens(text=math.ceil(len(f"Be kind.\n{advice}\nSmile.") / 4) - 9)


def test_the_connections_of_a_conversation_are_bounded() -> None:
    """Of many resumes the newest are told one by one; the frames and the bill of those before stay in the sums."""
    house, account = House(), Account(connections=3)
    call = house.call()
    calls = [call]
    for turn in range(6):
        call.ask(f"This is turn {turn}.")
        before = call.hang_up()
        call = house.call(sessionResumption={"handle": before.handle}, now=before.now)
        call.frame, call.utterance = before.frame, before.utterance
        calls.append(call)
    for number, one in enumerate(calls, 1):
        account.opened(f"c{number}", float(number))
        for fact in one.facts:
            account.note(f"c{number}", fact)
        if one is not call:
            account.closed(f"c{number}", Close(1000, ""))
    report = conversation(account)
    assert [one["id"] for one in report["connections"]] == ["c5", "c6", "c7"]
    assert (report["connections_dropped"], report["connections_count"]) == (4, 7)
    assert (report["greetings"], report["tokens"]["billed"]["answers"]) == (1, 6)
    assert report["frames"]["7"]["distinct_received"] == call.frame
    voice = account.voice(7)
    assert voice is not None
    assert len(voice["connections"]) == 3
    assert voice["frames"]["distinct_received"] == call.frame
    assert voice["greetings"] == 1


def test_an_open_connection_is_not_dropped() -> None:
    """What it has yet to tell would be lost."""
    account = Account(connections=1)
    for name in ("c1", "c2", "c3"):
        account.opened(name, 1.0)
        account.note(name, Asked("a model", Backend.DEVELOPER, "c1", "a handle"))
        account.note(name, Began(Continued.NEW, Context()))
        if name == "c2":
            account.closed(name, Close(1000, ""))
    assert [one["id"] for one in conversation(account)["connections"]] == ["c1", "c3"]


def test_the_handles_of_a_connection_are_bounded() -> None:
    """The newest are told, and how many there were before them."""
    account = Account()
    account.opened("c1", 1.0)
    account.note("c1", Began(Continued.NEW, Context()))
    for number in range(HANDLES + 5):
        account.note("c1", Issued(f"handle {number}", number, 0))
    (connection,) = conversation(account)["connections"]
    assert [issued["pieces"] for issued in connection["handles"]] == list(range(5, HANDLES + 5))
    assert connection["handles_dropped"] == 5
