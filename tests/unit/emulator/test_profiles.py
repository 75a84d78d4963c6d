"""Models by name and by API: who is known, what is known of them and how, and what a setup may ask of them."""

import dataclasses

import pytest

from services.emulator import profiles
from services.emulator.profiles import DEVELOPER, MODELS, VERTEX, Backend, Mark, Profile, find
from tests.support.session import House, content, is_turn_complete, text

NATIVE = "gemini-live-2.5-flash-native-audio"


@pytest.mark.parametrize("version", ["", "-preview-12-2026", "-latest", "-001", "-preview", "-exp-04-09"])
def test_models_are_found_by_their_family(version: str) -> None:
    """Dated previews belong to their family; what belongs to none is unknown."""
    assert {profile.name for profile in DEVELOPER} == {
        found.name for profile in DEVELOPER if (found := find(f"models/{profile.name}{version}"))
    }
    flash = find(NATIVE)
    assert flash is not None
    assert flash.window == 128_000
    assert find("models/gemini-1.0") is None


@pytest.mark.parametrize(
    ("model", "apis"),
    [
        (f"models/{NATIVE}", {Backend.DEVELOPER, Backend.VERTEX}),
        (NATIVE, {Backend.DEVELOPER, Backend.VERTEX}),
        (f"publishers/google/models/{NATIVE}", {Backend.VERTEX}),
        (f"projects/p/locations/l/publishers/google/models/{NATIVE}", {Backend.VERTEX}),
        (f"tunedModels/{NATIVE}", set()),
        (f"models/models/{NATIVE}", set()),
        (f"models/{NATIVE}XYZ", set()),
        (f"models/{NATIVE[:-1]}", set()),
        ("models/gemini-live-2.5-flash-preview", {Backend.DEVELOPER, Backend.VERTEX}),
        ("models/gemini-live-2.5-flashXYZ", set()),
        ("models/", set()),
        ("", set()),
    ],
)
def test_each_api_has_names_of_its_own(model: str, apis: set[Backend]) -> None:
    """After a family's name comes a version or nothing, and one API does not know the other's paths."""
    assert {backend for backend in Backend if find(model, backend)} == apis


@pytest.mark.parametrize("row", [*DEVELOPER, *VERTEX])
def test_every_fact_has_a_mark(row: Profile) -> None:
    """Whatever a row says of a model, it says how that is known; its name is no fact, nor is the field's on Vertex."""
    told = {field.name for field in dataclasses.fields(row)} - {"name", "marks", "response_tokens_field"}
    assert set(row.marks) == told


def test_what_google_documents_differs_between_the_apis() -> None:
    """Handles live two hours and a day; role system replaces on Vertex only; context updates on one model only."""
    developer, vertex = (MODELS[backend][-1] for backend in (Backend.DEVELOPER, Backend.VERTEX))
    assert (developer.handle_lifetime, vertex.handle_lifetime) == (profiles.TWO_HOURS, profiles.ONE_DAY)
    assert vertex.marks["handle_lifetime"] is vertex.marks["context_update"] is Mark.DOCUMENTED
    assert developer.marks["system_role"] is Mark.OBSERVED


@pytest.mark.parametrize(
    ("trigger", "target", "good"),
    [
        (None, None, True),
        (1_000, None, True),
        (None, 0, True),
        (1_000, 999, True),
        (1_000, 1_000, False),
        (1_000, 2_000, False),
        (0, None, False),
        (-5, None, False),
        (1_000, -1, False),
        (128_000, None, True),
        (128_001, None, False),
        (None, 128_000, False),
    ],
)
def test_compression_needs_numbers_that_make_sense(trigger: int | None, target: int | None, good: bool) -> None:  # noqa: FBT001 - a table
    """A trigger within the window, and a target below it; anything else is an invalid argument."""
    wanted = {"triggerTokens": trigger, "slidingWindow": {"targetTokens": target}}
    call = House().call(contextWindowCompression=wanted)
    assert (call.close is None) is good
    if call.close:
        assert (call.close.code, call.close.reason) == (1007, "Request contains an invalid argument.")


LONG = "x" * 800
TWO_HUNDRED = "The input token count (200) exceeds the maximum number of tokens allowed (150)."


@pytest.mark.parametrize("compressed", [False, True])
def test_a_setup_that_is_too_long_is_refused_at_once(compressed: bool) -> None:  # noqa: FBT001 - a table
    """An instruction that no compression makes shorter never begins a session."""
    wanted: dict[str, object] | None = {"slidingWindow": {}} if compressed else None
    call = House(window=150).call(systemInstruction={"parts": [{"text": LONG}]}, contextWindowCompression=wanted)
    assert call.close is not None
    assert (call.close.code, call.close.reason) == (1007, TWO_HUNDRED)
    assert call.messages == []


def test_tools_fill_the_window_too() -> None:
    """What is declared stands before the model, and counts."""
    call = House(window=150).call(tools=[{"functionDeclarations": [{"name": "f", "description": LONG}]}])
    assert call.close is not None
    assert "exceeds the maximum number of tokens" in call.close.reason


def test_content_that_is_too_long_is_refused_at_once() -> None:
    """Even where no answer is asked for, and as initial history."""
    said = content(("user", LONG), complete=False)
    for history in (True, False):
        call = House(window=150).call(historyConfig={"initialHistoryInClientContent": history}).send(said)
        assert call.close is not None
        assert (call.close.code, call.close.reason) == (1007, TWO_HUNDRED)


def test_compression_makes_room_for_content() -> None:
    """With compression the same content is taken, and compressed before the next answer."""
    call = House(window=250).call(contextWindowCompression={"slidingWindow": {}})
    call.send(content(("user", LONG), ("model", "Yes."), complete=False)).send(content(("user", "Hello.")))
    call.wait_for(is_turn_complete)
    assert call.context.turns[0].text == "Hello."


@pytest.mark.parametrize("answered", [None, True, False])
def test_whether_realtime_text_is_answered_is_a_switch(answered: bool | None) -> None:  # noqa: FBT001 - a table
    """It differs by model, and nobody says how: every profile answers, unless the setting says otherwise."""
    call = House(text_answered=answered).call().send(text("My dog is Rex.")).wait(20.0)
    assert any(map(is_turn_complete, call.messages)) is (answered is not False)
    assert "Rex" in call.ask("What is my dog?")
