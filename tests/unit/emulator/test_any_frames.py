"""Whatever a client sends, in whatever order: never an exception, and every refusal is a close with code and reason."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.common import voice
from services.emulator.account import Account
from services.emulator.closes import Close
from services.emulator.effects import Answered, End
from services.emulator.shapes import SHAPES
from tests.support.session import Call, House, activity, audio, content, setup, snake, text

NAMES = sorted({name for names in SHAPES.values() for name in names})
MODELS = (
    "models/gemini-live-2.5-flash-native-audio",
    "models/gemini-3.1-flash-live",
    "models/gemini-3.8-live",
    "models/gemini-live-2.5-flash",
)
WORDS = st.sampled_from(["My dog is Rex.", "What is my dog?", "Use the tool f with a is b.", "", "\ud83d", "x" * 500])
TOOLS = [{"functionDeclarations": [{"name": "f"}, {"name": "g", "behavior": "NON_BLOCKING"}]}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(NAMES), children, max_size=3),
    max_leaves=8,
)
RATES = st.sampled_from([16_000, 24_000, 8_000, 48_000])
PARTS = st.sampled_from(
    [
        {"text": "[SALES_MANAGER_INSTRUCTION] Sell."},
        {"inlineData": {"mimeType": "audio/pcm;rate=8000", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "text/plain", "data": "_w=="}},
        {"fileData": {"fileUri": "gs://a/b"}},
        {"functionCall": {"name": "f", "args": {"\ud83d": 1}}},
        {"functionResponse": {"name": "f", "response": {"a": [None]}}},
        {"executableCode": {"code": "1"}},
        {"toolCall": {"id": "1", "args": {}}},
        {"thought": True},
    ]
)
GOOD = st.one_of(
    st.builds(text, WORDS),
    st.builds(audio, st.binary(max_size=3_000), RATES),
    st.builds(lambda said: audio(b"".join(voice.speak(said, stream=1, first_frame=0, utterance=0))), st.just("Hi.")),
    st.just(audio(voice.silence(40))),
    st.builds(activity, st.sampled_from(["activityStart", "activityEnd"])),
    st.just({"realtimeInput": {"audioStreamEnd": True}}),
    st.just({"realtimeInput": {"video": {"data": "AAAA", "mimeType": "image/png"}}}),
    st.builds(
        lambda role, said, complete: content((role, said), complete=complete),
        st.sampled_from(["user", "model", "system"]),
        WORDS,
        st.booleans(),
    ),
    st.builds(lambda said: {"contextUpdate": {"systemInstruction": {"parts": [{"text": said}]}}}, WORDS),
    st.just({"contextUpdate": {"tools": {"tools": TOOLS}}}),
    st.builds(
        lambda role, parts: {"clientContent": {"turns": [{"role": role, "parts": parts}], "turnComplete": True}},
        st.sampled_from(["user", "model", "system"]),
        st.lists(PARTS, max_size=3),
    ),
    st.builds(
        lambda scheduling: {"toolResponse": {"functionResponses": [{"id": "1", "scheduling": scheduling}]}},
        st.sampled_from(["SILENT", "INTERRUPT", "nonsense"]),
    ),
    st.builds(setup, st.sampled_from(MODELS)),
)
BAD = st.builds(lambda name, value: {name: value}, st.sampled_from(NAMES), JSON)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A good message in which something was replaced by anything."""
    message = json.loads(json.dumps(draw(GOOD)))
    place: Any = message
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(JSON)
            return dict(message)
        place = place[key]


STEPS = st.one_of(
    GOOD,
    GOOD.map(snake),
    mutated(),
    BAD,
    st.binary(max_size=40),
    st.text(max_size=40),
    st.floats(min_value=0.0, max_value=20.0),
)
SETUPS = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS)},
    optional={
        "tools": st.just(TOOLS),
        "systemInstruction": st.builds(lambda said: {"parts": [{"text": said}]}, WORDS),
        "historyConfig": st.just({"initialHistoryInClientContent": True}),
        "contextWindowCompression": st.just({"triggerTokens": "50", "slidingWindow": {"targetTokens": "10"}}),
        "realtimeInputConfig": st.sampled_from(
            [
                {"automaticActivityDetection": {"disabled": True}},
                {"activityHandling": "NO_INTERRUPTION", "turnCoverage": "TURN_INCLUDES_ALL_INPUT"},
                {"automaticActivityDetection": {"silenceDurationMs": 0, "prefixPaddingMs": 0}},
            ]
        ),
    },
)


@settings(max_examples=150)
@example(asked={"model": MODELS[0]}, vertex=False, steps=[audio(b"\0\1" * 9, 0), 5.0])
@given(asked=SETUPS, vertex=st.booleans(), steps=st.lists(STEPS, max_size=12))
def test_whatever_comes(asked: dict[str, Any], vertex: bool, steps: list[Any]) -> None:  # noqa: FBT001
    """No sequence of frames makes a session raise; where it closes, it does so once, with a code and a reason."""
    call = House(lifetime=60.0).call(vertex=vertex, **asked)
    for step in steps:
        if isinstance(step, float):
            call.wait(step)
        else:
            call.send(step)
    call.wait(100.0)
    ends = [effect for _, effect in call.effects if isinstance(effect, End)]
    assert len(ends) == 1
    assert 1000 < ends[0].close.code < 5000
    assert 0 < len(ends[0].close.wire_reason) <= 123
    assert call.effects[-1][1] is ends[0]
    check_account(call)


def check_account(call: Call) -> None:
    """What the account tells of it can be told as JSON, and every token of it is in one category."""
    account = Account()
    account.opened("c1", 0.0)
    for fact in call.facts:
        account.note("c1", fact)
    account.closed("c1", call.close or Close(1000, ""))
    if (report := account.conversation("c1")) is None:
        assert len(account.refusals()) == 1
        return
    json.dumps(report)
    for told in (report["tokens"]["context"], report["tokens"]["last"]["prompt"], report["tokens"]["billed"]["prompt"]):
        assert told["total"] == sum(told["by_category"].values()) == sum(told["by_modality"].values())
    assert report["tokens"]["billed"]["answers"] == sum(isinstance(fact, Answered) for fact in call.facts)
