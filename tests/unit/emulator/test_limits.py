"""How connections and sessions grow old, by model, by setting and by what they carry."""

import pytest

from tests.support.session import Call, House, is_turn_complete, setup

LONG = "models/gemini-3.8-live"
IMAGE = {"realtimeInput": {"video": {"data": "AAAA", "mimeType": "image/jpeg"}}}


def ending(call: Call) -> tuple[float, int, str]:
    """When and how a call was closed."""
    assert call.close is not None
    return call.effects[-1][0], call.close.code, call.close.reason


@pytest.mark.parametrize("vertex", [False, True])
def test_a_models_own_life(vertex: bool) -> None:  # noqa: FBT001 - a table
    """Ten minutes, goAway a minute before, 1008 [DOC], on both backends."""
    call = House().call(vertex=vertex, model=LONG, contextWindowCompression={"slidingWindow": {}}).wait(4000.0)
    assert {"goAway": {"timeLeft": "60s"}} in call.messages
    assert ending(call)[:2] == (600.0, 1008)


@pytest.mark.parametrize("vertex", [False, True])
def test_the_58_minute_variant(vertex: bool) -> None:  # noqa: FBT001 - a table
    """Open to exactly 58:00, no goAway, 1011 "Deadline expired"; a later resume is refused with 1007 [OBS]."""
    house = House(long_lived=True)
    call = house.call(vertex=vertex, model=LONG, contextWindowCompression={"slidingWindow": {}}).wait(4000.0)
    assert ending(call) == (3480.0, 1011, "Deadline expired")
    assert not [message for message in call.messages if "goAway" in message]
    call.hang_up()
    again = house.call(vertex=vertex, model=LONG, sessionResumption={"handle": call.handle}, now=call.now)
    assert ending(again)[1] == 1007
    assert again.messages == []


def test_the_58_minute_variant_resumes_before_its_end() -> None:
    """As long as the deadline has not passed, its handles are as good as any."""
    house = House(long_lived=True, lifetime=10.0)
    first = house.call(model=LONG).wait(9.0).hang_up()
    assert house.call(model=LONG, sessionResumption={"handle": first.handle}, now=9.0).close is None


def test_other_models_know_no_such_variant() -> None:
    """The switch changes only models that were seen so."""
    call = House(long_lived=True).call(contextWindowCompression={"slidingWindow": {}}).wait(4000.0)
    assert ending(call)[:2] == (600.0, 1008)


def test_a_short_life_has_a_short_warning() -> None:
    """Where only the lifetime is set, goAway comes a quarter of it before the end at the earliest."""
    call = House(lifetime=8.0).call().wait(10.0)
    assert {"goAway": {"timeLeft": "2s"}} in call.messages


def test_a_connection_without_a_setup_ends_too() -> None:
    """Nobody can hold a connection open for ever by saying nothing; no goAway is sent to it."""
    call = House(lifetime=8.0).call(greet=False).wait(10.0)
    assert ending(call)[:2] == (8.0, 1008)
    assert call.messages == []


def test_a_session_without_compression_ends_over_all_its_connections() -> None:
    """Fifteen minutes of audio, counted from the first connection; a resume does not bring it back."""
    house = House()
    first = house.call().wait(500.0).hang_up()
    second = house.call(sessionResumption={"handle": first.handle}, now=500.0).wait(500.0)
    assert ending(second)[:2] == (900.0, 1008)
    second.hang_up()
    third = house.call(sessionResumption={"handle": second.handle}, now=1000.0).wait(1.0)
    assert ending(third)[1] == 1008


def test_video_shortens_it() -> None:
    """Two minutes from the beginning of the session, once it has seen an image."""
    call = House().call().wait(50.0).send(IMAGE).send(IMAGE).wait(500.0)
    assert ending(call)[:2] == (120.0, 1008)


def test_compression_has_no_such_limit() -> None:
    """With compression only the connection's own life counts."""
    call = House(lifetime=5000.0).call(contextWindowCompression={"slidingWindow": {}}).send(IMAGE).wait(2000.0)
    assert call.close is None


def test_more_sessions_than_allowed() -> None:
    """The one too many is a quota's refusal; when one ends there is room again."""
    house = House(sessions=2)
    first, _, third = house.call(), house.call(), house.call()
    assert ending(third)[1:] == (1011, "Resource has been exhausted (e.g. check quota).")
    first.hang_up()
    third.hang_up()
    assert house.call().close is None
    assert house.call().close is not None


def test_an_unknown_model_on_vertex() -> None:
    """Vertex names the publisher's model in its refusal."""
    name = "projects/p/locations/l/publishers/google/models/nope"
    call = House().call(vertex=True, greet=False).send(setup(name))
    assert ending(call)[1] == 1008
    assert ending(call)[2].startswith(f"Publisher Model `{name}` was not found")


@pytest.mark.parametrize(
    ("coverage", "images"),
    [
        (None, 3),
        ("TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO", 3),
        ("TURN_INCLUDES_ALL_INPUT", 3),
        ("TURN_INCLUDES_ONLY_ACTIVITY", 1),
    ],
)
def test_images_cost_tokens_in_their_turn(coverage: str | None, images: int) -> None:
    """258 tokens an image, in the modality VIDEO; which ones belong to the turn is the setup's choice."""
    call = House().call(realtimeInputConfig={"turnCoverage": coverage})
    call.send(IMAGE).send(IMAGE).speak("What is this?").send(IMAGE)
    call.hush().wait_for(is_turn_complete)
    details = call.messages[-1]["usageMetadata"]["promptTokensDetails"]
    assert {"modality": "VIDEO", "tokenCount": 258 * images} in details
    assert call.context.turns[0].tokens.video == 258 * images


def test_silence_belongs_to_the_turn_where_the_setup_says_so() -> None:
    """With TURN_INCLUDES_ALL_INPUT silence around the words costs what it lasts."""
    costs = []
    for coverage in ("TURN_INCLUDES_ONLY_ACTIVITY", "TURN_INCLUDES_ALL_INPUT"):
        call = House().call(realtimeInputConfig={"turnCoverage": coverage}).hush(100).speak("Hello.").hush(25)
        costs.append(call.wait(5.0).context.turns[0].tokens.audio)
    assert costs[1] - costs[0] == pytest.approx(2.5 * 25, abs=1)
