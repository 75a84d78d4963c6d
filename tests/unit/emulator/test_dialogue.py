"""Turn-taking: what an answer consists of and in which order, how it is interrupted, and what enters the context."""

from itertools import pairwise
from typing import Any

import pytest

from services.common import voice
from services.emulator.context import Kind, Role
from services.emulator.effects import Answered, Began, ContextChanged, VoiceHeard
from tests.support.session import (
    TEXT_MODEL,
    Call,
    House,
    activity,
    audio,
    content,
    heard,
    is_audio,
    is_turn_complete,
    is_update,
    kind,
    text,
    transcribed,
)

MANUAL: dict[str, Any] = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}


def kinds_after(call: Call, start: int) -> list[str]:
    """The kinds of the messages from a position on, runs of the same kind as one."""
    names = [kind(message) for message in call.messages[start:]]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def test_a_turn_from_speech_to_handle() -> None:
    """Words in, words out: both transcriptions are whole, the audio says the answer, the end comes in its order."""
    call = House().call().wait(1.0)
    start = len(call.messages)
    answer = call.ask("My dog is Rex.")
    assert answer.startswith("Hello, this is Filo from the emulator.")
    assert transcribed(call.messages, "inputTranscription") == "My dog is Rex."
    assert transcribed(call.messages, "outputTranscription") == answer
    names = kinds_after(call, start)
    assert names[-3:] == ["generationComplete", "turnComplete", "sessionResumptionUpdate"]
    assert call.messages[start:].count({"sessionResumptionUpdate": {}}) == 1
    begun = call.messages.index({"sessionResumptionUpdate": {}})
    assert not any(is_audio(message) for message in call.messages[:begun])
    assert all(
        "inputTranscription" not in message["serverContent"] for message in call.messages[begun:-1] if is_audio(message)
    )


def test_the_context_holds_both_sides_of_the_turn() -> None:
    """The user's audio with its utterance and frames, the model's words, and what each costs."""
    call = House().call()
    answer = call.ask("My dog is Rex.")
    user, model = call.context.turns
    assert (user.role, user.kind, user.text, user.stream) == (Role.USER, Kind.AUDIO, "My dog is Rex.", 7)
    assert (user.utterances, user.frames) == ((0,), ((0, call.frame - 1),))
    assert user.tokens.total == round(call.frame * 0.02 * 25)
    assert (model.role, model.kind, model.text) == (Role.MODEL, Kind.AUDIO, answer)
    assert model.tokens.total == round(voice.frame_count(answer) * 0.02 * 25)


def test_usage_is_the_whole_context_by_modality() -> None:
    """PromptTokenCount counts the instruction, all earlier turns and this one; billed is told turn by turn."""
    call = House().call(systemInstruction={"parts": [{"text": "x" * 400}]})
    call.ask("One.")
    call.ask("Two.")
    first, second = (message["usageMetadata"] for message in call.messages if is_turn_complete(message))
    user = call.context.turns[0].tokens.total
    assert first["promptTokensDetails"] == [
        {"modality": "TEXT", "tokenCount": 100},
        {"modality": "AUDIO", "tokenCount": user},
    ]
    assert second["promptTokenCount"] == 100 + sum(turn.tokens.total for turn in call.context.turns[:3])
    assert second["totalTokenCount"] == second["promptTokenCount"] + second["responseTokenCount"]
    answered = [fact for fact in call.facts if isinstance(fact, Answered)]
    assert [fact.prompt.tokens.total for fact in answered] == [first["promptTokenCount"], second["promptTokenCount"]]
    assert [fact.greeting for fact in answered] == [True, False]


def test_the_unchanged_beginning_of_the_context_is_cached() -> None:
    """From the second turn on the prompt of the last one is cached; a new instruction makes all of it dear again."""
    house = House()
    call = house.call(model="models/gemini-3.8-live", vertex=True, systemInstruction={"parts": [{"text": "x" * 400}]})
    for question in ("One.", "Two.", "Three."):
        call.ask(question)
    call.send({"contextUpdate": {"systemInstruction": {"parts": [{"text": "y" * 400}]}}}).ask("Four.")
    usage = [message["usageMetadata"] for message in call.messages if is_turn_complete(message)]
    cached = [entry.get("cachedContentTokenCount", 0) for entry in usage]
    assert cached == [0, usage[0]["promptTokenCount"], usage[1]["promptTokenCount"], 0]


@pytest.mark.parametrize("speed", [1.0, 25.0])
def test_audio_is_paced(speed: float) -> None:
    """Pieces of 40 ms come every 40 ms divided by the speed, without drift."""
    call = House(speed=speed, lifetime=6000.0).call()
    answer = call.ask("Hello.")
    times = [at for at, effect in call.effects if is_audio(getattr(effect, "message", {}))]
    assert len(times) == -(-voice.frame_count(answer) // 2)
    for at, time in enumerate(times):
        assert time - times[0] == pytest.approx(at * 0.04 / speed)


def test_the_handle_comes_20_to_70_ms_after_the_turn() -> None:
    """The update after a turn is late enough that a client that stops reading at turnComplete misses it."""
    call = House().call()
    for question in ("One?", "Two?", "Three?"):
        call.ask(question)
        assert 0.020 <= call.time_of(is_update) - call.time_of(is_turn_complete) <= 0.070


def test_a_handle_that_is_still_due_comes_before_the_next_answer() -> None:
    """However fast the next turn follows, the handle of the last one comes, and before the word that there is none."""
    house = House(thinking=0.0)
    call = house.call().wait(1.0).send(text("My dog is Rex."))
    call.wait_for(is_turn_complete)
    start = len(call.messages)
    context = call.context
    call.send(text("What is my dog?")).wait(0.0)
    assert is_update(call.messages[start])
    assert call.messages[start + 1] == {"sessionResumptionUpdate": {}}
    assert house.handles.redeem(call.hang_up().handle, call.now).context == context


def test_the_models_voice_numbers_its_frames_without_holes() -> None:
    """Over several answers, one of them cut off, what was sent is numbered 0, 1, 2 and so on in one stream."""
    call = House().call()
    call.ask("Hello.")
    call.speak("Go on.").hush().wait(0.5).speak("Stop!").hush().wait_for(is_turn_complete)
    call.ask("Bye.")
    listener = voice.Listener(24_000)
    data = b"".join(
        message["serverContent"]["modelTurn"]["parts"][0]["inlineData"]["data"]
        for message in call.messages
        if is_audio(message)
    )
    frames = [event for event in listener.feed(data) if isinstance(event, voice.Heard)]
    assert [frame.frame for frame in frames] == list(range(len(frames)))
    assert len({frame.stream for frame in frames}) == 1


def test_speaking_interrupts_the_answer() -> None:
    """Barge-in: interrupted, turnComplete, no generationComplete; the context keeps what was said until then."""
    call = House().call().speak("Tell me a story.").hush().wait(0.4)
    start = len(call.messages)
    said = heard(call.messages)
    call.speak("Stop!")
    assert [kind(message) for message in call.messages[start:]][:2] == ["interrupted", "turnComplete"]
    assert call.context.turns[-1].text == said.strip()
    assert said
    call.hush().wait_for(is_turn_complete)
    names = [kind(message) for message in call.messages]
    assert names.count("generationComplete") == 1
    assert [turn.text for turn in call.context.turns[:3]] == ["Tell me a story.", said.strip(), "Stop!"]


def test_an_interrupted_turn_is_behind_the_next_handle() -> None:
    """The handle after an interruption holds the cut turn, and nothing of what is being said then."""
    house = House()
    call = house.call().speak("Tell me a story.").hush().wait(0.4).speak("Stop!").wait(0.08)
    second = house.call(sessionResumption={"handle": call.hang_up().handle}, now=call.now)
    (began,) = [fact for fact in second.facts if isinstance(fact, Began)]
    assert began.context.turns == call.context.turns
    assert [turn.role for turn in call.context.turns] == [Role.USER, Role.MODEL]


def test_without_interruption_the_answer_goes_on_and_the_next_follows() -> None:
    """NO_INTERRUPTION: what is said meanwhile is answered after the running answer."""
    call = House().call(realtimeInputConfig={"activityHandling": "NO_INTERRUPTION"})
    call.speak("My dog is Rex.").hush().wait(0.5).speak("What is my dog?").hush()
    call.wait_for(is_turn_complete)
    call.wait_for(is_turn_complete)
    assert "interrupted" not in [kind(message) for message in call.messages]
    assert call.context.turns[-1].text == "You told me your dog is Rex."


def test_speaking_on_takes_the_answer_back() -> None:
    """A user who goes on before the answer began gets one answer to both, and no interruption."""
    call = House(thinking=1.0).call().speak("My dog is Rex.").hush().wait(0.5)
    call.speak("What is my dog?").hush().wait_for(is_turn_complete)
    names = [kind(message) for message in call.messages]
    assert names.count("turnComplete") == 1
    assert "interrupted" not in names
    assert call.context.turns[-1].text.endswith("You told me your dog is Rex.")


def test_speech_ends_by_silence_that_arrives_as_audio() -> None:
    """When a client stops sending in the middle, the model waits, however long; audioStreamEnd ends it at once."""
    call = House().call().speak("Hello there.").wait(60.0)
    assert not any(is_audio(message) for message in call.messages)
    call.send({"realtimeInput": {"audioStreamEnd": True}}).wait_for(is_turn_complete)


def test_the_setup_says_how_much_silence_ends_a_turn() -> None:
    """SilenceDurationMs wins over the server's own patience."""
    patient = {"automaticActivityDetection": {"silenceDurationMs": 2000}}
    call = House().call(realtimeInputConfig=patient).speak("Hello there.").hush(99).wait(5.0)
    assert not any(is_audio(message) for message in call.messages)
    call.hush(1).wait_for(is_turn_complete)


def test_every_frame_is_told_as_it_comes() -> None:
    """The account hears of each frame, also of repeated ones and of those no turn will hold."""
    call = House().call()
    frames = voice.speak("Once more.", stream=9, first_frame=0, utterance=0)
    call.send(audio(b"".join(frames))).send(audio(b"".join(frames)))
    told = [fact.heard.frame for fact in call.facts if isinstance(fact, VoiceHeard)]
    assert told == [*range(len(frames)), *range(len(frames))]


def test_ordinary_speech_is_heard_as_such() -> None:
    """A recording is transcribed as unknown speech with its length, costs what it lasts, and is answered."""
    call = House().call()
    call.send(audio(b"\x00\x20\x00\xe0" * 8_000)).hush().wait_for(is_turn_complete)
    assert transcribed(call.messages, "inputTranscription") == "(unknown speech, 1.0 s)"
    assert call.context.turns[0].tokens.audio == 25
    assert "unknown speech, 1.0 s" in call.context.turns[1].text


def test_noise_that_is_short_or_faint_is_no_speech() -> None:
    """A click or a hum begins no turn."""
    call = House().call()
    call.send(audio(b"\x00\x20\x00\xe0" * 500)).hush().send(audio(b"\x20\x00\xe0\xff" * 16_000)).hush().wait(5.0)
    assert not any(is_audio(message) for message in call.messages)


def test_explicit_activity() -> None:
    """With automatic detection off only what lies between the client's marks is heard, silences and all."""
    call = House().call(**MANUAL)
    call.speak("My dog is Rex.").hush(100)
    call.send(activity("activityStart")).send(activity("activityStart")).speak("What is").hush(60).speak("my dog?")
    call.send(activity("activityEnd")).wait_for(is_turn_complete)
    assert call.context.turns[0].text == "What is my dog?"
    assert call.context.turns[1].text.endswith("I am sorry, I do not think you told me your dog.")


def test_an_explicit_activity_without_speech_is_not_answered() -> None:
    """Silence between the marks is acknowledged by nothing, and the connection stays healthy."""
    call = House().call(**MANUAL).send(activity("activityStart")).hush().send(activity("activityEnd")).wait(5.0)
    assert not any(is_audio(message) for message in call.messages)
    assert call.close is None


def test_text_typed_into_a_silent_activity_is_answered_after_it() -> None:
    """Whoever types with the microphone open and says nothing gets one answer, when the activity ends."""
    call = House().call(**MANUAL).send(activity("activityStart")).hush().send(text("My dog is Rex.")).wait(5.0)
    assert not any(is_audio(message) for message in call.messages)
    call.send(activity("activityEnd")).wait(20.0)
    assert sum(is_turn_complete(message) for message in call.messages) == 1


def test_an_empty_activity_is_fatal() -> None:
    """Start and end without any audio: turnComplete, then 1007, as observed."""
    call = House().call(**MANUAL).send(activity("activityStart")).send(activity("activityEnd"))
    assert call.messages[-1] == {"serverContent": {"turnComplete": True}, "usageMetadata": {}}
    assert call.close is not None
    assert (call.close.code, call.close.reason) == (1007, "Precondition check failed.")


@pytest.mark.parametrize("edge", ["activityStart", "activityEnd"])
def test_explicit_activity_needs_automatic_detection_off(edge: str) -> None:
    """A client that marks activities while the server detects them is refused."""
    call = House().call().send(activity(edge))
    assert call.close is not None
    assert call.close.code == 1007


def test_text_is_a_turn() -> None:
    """Realtime text is answered at once, and interrupts a running answer, since it counts as activity."""
    call = House().call().send(text("My dog is Rex.")).wait(0.4).send(text("What is my dog?"))
    assert "interrupted" in [kind(message) for message in call.messages]
    call.wait_for(is_turn_complete)
    assert call.context.turns[-1].text == "You told me your dog is Rex."
    assert call.context.turns[0].kind is Kind.TEXT


def test_content_is_answered_when_it_is_complete() -> None:
    """Content with turnComplete false only enters the context; complete, it is a question."""
    call = House().call().send(content(("user", "My dog is Rex."), complete=False)).wait(5.0)
    assert not any(is_audio(message) for message in call.messages)
    call.send(content(("user", "What is my dog?"))).wait_for(is_turn_complete)
    assert call.context.turns[-1].text.endswith("You told me your dog is Rex.")


def test_content_that_ends_with_the_model_is_not_a_question() -> None:
    """Complete content without anything left to answer is taken and not answered."""
    call = House().call().send(content(("user", "Hi."), ("model", "Hi."))).send(content()).wait(5.0)
    assert not any(is_turn_complete(message) for message in call.messages)
    assert len(call.context.turns) == 2


def test_content_during_the_users_speech_waits_for_it() -> None:
    """Advice that arrives while the user speaks is in the context of the answer, and makes none by itself."""
    call = House().call().speak("What is")
    call.send(content(("user", "[SALES_MANAGER_INSTRUCTION] Be brief."), complete=False)).wait(2.0)
    call.speak(" my dog?").hush().wait_for(is_turn_complete)
    assert [turn.kind for turn in call.context.turns] == [Kind.TEXT, Kind.AUDIO, Kind.AUDIO]
    assert sum(is_turn_complete(message) for message in call.messages) == 1


def test_text_answers_come_as_text() -> None:
    """A model that can write answers in text parts, billed as text."""
    call = House().call(model=TEXT_MODEL, generationConfig={"responseModalities": ["TEXT"]})
    call.send(text("Hello.")).wait_for(is_turn_complete)
    parts = [
        message["serverContent"]["modelTurn"]["parts"][0]["text"] for message in call.messages if is_audio(message)
    ]
    assert "".join(parts) == call.context.turns[-1].text
    assert call.messages[-1]["usageMetadata"]["responseTokensDetails"][0]["modality"] == "TEXT"


def test_transcriptions_are_only_for_those_who_ask() -> None:
    """Without the setup's request no transcription is sent; the model hears all the same."""
    call = House().call(inputAudioTranscription=None, outputAudioTranscription=None)
    call.ask("Hello.")
    assert not {"inputTranscription", "outputTranscription"} & {kind(message) for message in call.messages}


def test_output_transcription_keeps_no_order_with_the_audio() -> None:
    """Some pieces come before their words are spoken and some after: nobody may rely on either."""
    call = House(speed=1.0).call()
    call.ask("Hello.")
    start = min(at for at, effect in call.effects if is_audio(getattr(effect, "message", {})))
    position, drifts = 0, []
    for at, effect in call.effects:
        piece = getattr(effect, "message", {}).get("serverContent", {}).get("outputTranscription")
        if piece:
            drifts.append(at - start - position / 20)
            position += len(piece["text"])
    assert min(drifts) < -0.02
    assert max(drifts) > 0.02


@pytest.mark.parametrize(
    ("model", "closes"), [("models/gemini-3.1-flash-live", True), ("models/gemini-3.8-live", False)]
)
def test_content_in_mid_session_is_a_matter_of_the_model(model: str, closes: bool) -> None:  # noqa: FBT001 - a table
    """One model closes with 1007 on any clientContent in mid-session."""
    call = House().call(model=model).send(content(("user", "Hi."), complete=False))
    assert (call.close is not None and call.close.code == 1007) is closes


def test_role_system_closes_on_the_developer_api() -> None:
    """A turn of role system is refused with 1007."""
    call = House().call().send(content(("system", "Be someone else.")))
    assert call.close is not None
    assert call.close.code == 1007


@pytest.mark.parametrize(
    ("model", "closes"), [("models/gemini-live-2.5-flash-native-audio", True), ("models/gemini-3.8-live", False)]
)
def test_context_update_is_refused_or_ignored(model: str, closes: bool) -> None:  # noqa: FBT001 - a table
    """On the Developer API no model takes a new instruction: one closes with 1007, the others do nothing."""
    call = House().call(model=model, systemInstruction={"parts": [{"text": "Your name is Ada."}]})
    call.send({"contextUpdate": {"systemInstruction": {"parts": [{"text": "Your name is Bob."}]}}})
    assert (call.close is not None) is closes
    if not closes:
        assert call.ask("Hello.").startswith("Hello, this is Ada")


def test_a_full_window_ends_the_session() -> None:
    """Without compression the session ends when the context outgrows the window."""
    call = House(window=150).call()
    call.ask("Hello.")
    call.speak("Hello again, this is one turn too many.").hush().wait(5.0)
    assert call.close is not None
    assert call.close.code == 1007
    assert "exceeds the maximum number of tokens allowed (150)" in call.close.reason


def test_compression_keeps_the_session_alive_and_forgets() -> None:
    """With compression the oldest turns go when the trigger is passed, and with them what they told."""
    call = House(window=400, lifetime=6000.0).call(contextWindowCompression={"slidingWindow": {}})
    call.ask("My dog is Rex.")
    for _ in range(8):
        call.ask("Tell me something about the weather.")
    assert call.close is None
    assert call.context.compressed > 0
    assert call.context.turns[0].role is Role.USER
    assert call.ask("What is my dog?") == "I am sorry, I do not think you told me your dog."
    usage = [message["usageMetadata"] for message in call.messages if is_turn_complete(message)]
    assert max(entry["promptTokenCount"] for entry in usage) <= 400 * 0.8


def test_the_setup_says_when_to_compress() -> None:
    """TriggerTokens and targetTokens, also as strings, win over the defaults."""
    wanted = {"triggerTokens": "200", "slidingWindow": {"targetTokens": "60"}}
    call = House(lifetime=6000.0).call(contextWindowCompression=wanted)
    for _ in range(5):
        call.ask("Tell me something.")
    before = [fact.context for fact in call.facts if isinstance(fact, ContextChanged)]
    shrunk = [new for old, new in pairwise(before) if new.compressed > old.compressed]
    assert shrunk
    assert all(context.tokens.total <= 60 or len(context.turns) == 1 for context in shrunk)


def test_a_tool_result_nobody_asked_for_is_ignored() -> None:
    """It does not end the session, and is not answered."""
    call = House().call().send({"toolResponse": {"functionResponses": [{"id": "1", "name": "f", "response": {}}]}})
    assert call.wait(5.0).close is None
    assert not any(is_turn_complete(message) for message in call.messages)


def test_an_answer_that_is_owed_is_given_after_an_activity_of_silence() -> None:
    """The activity puts off the answer to a text; where it holds no speech, the text is answered all the same."""
    call = House().call(**MANUAL)
    call.wait(0.1).send(text("My dog is Rex. What is my dog?")).send(activity("activityStart"))
    call.hush().wait(1.0)
    assert not any(map(is_audio, call.messages))
    call.send(activity("activityEnd")).wait_for(is_turn_complete)
    assert "You told me your dog is Rex." in heard(call.messages)
