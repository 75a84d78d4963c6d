"""google-genai, unmodified, cannot tell the emulator from Gemini Live on the path that Filo takes."""

import asyncio

import pytest
from google import genai
from google.genai import errors, types

from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.genai import (
    MODEL,
    Talk,
    answer,
    client,
    config,
    has_handle,
    interrupted,
    transcript,
    turn_complete,
)


async def test_an_audio_turn(emulator: RunningEmulator) -> None:
    """Speech in, speech out, both transcribed; usage by modality; a handle after the turn."""
    live = client(emulator).aio.live
    async with live.connect(model=MODEL, config=config(system_instruction="Your name is Ada.")) as session:
        talk = Talk(session)
        said = await talk.ask("My dog is Rex.")
    assert said.startswith("Hello, this is Ada from the emulator.")
    assert transcript(talk.received, "output_transcription") == said
    assert transcript(talk.received, "input_transcription") == "My dog is Rex."
    usage = next(message.usage_metadata for message in talk.received if message.usage_metadata)
    assert usage.response_token_count
    assert {detail.modality for detail in usage.prompt_tokens_details or []} == {
        types.MediaModality.TEXT,
        types.MediaModality.AUDIO,
    }
    assert talk.handle


async def test_text_turns(emulator: RunningEmulator) -> None:
    """Text as realtime input and as client content: both are answered from the same context."""
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        await session.send_realtime_input(text="My dog is Rex.")
        await talk.until(turn_complete)
        start = len(talk.received)
        question = types.Content(role="user", parts=[types.Part(text="What is my dog?")])
        await session.send_client_content(turns=question, turn_complete=True)
        await talk.until(turn_complete)
    assert answer(talk.received[start:]) == "You told me your dog is Rex."


async def test_advice_without_a_question_is_not_answered(emulator: RunningEmulator) -> None:
    """Content with turn_complete false enters the context and stays silent until the user speaks."""
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        advice = types.Content(role="user", parts=[types.Part(text="[SALES_MANAGER_INSTRUCTION] Be brief.")])
        await session.send_client_content(turns=advice, turn_complete=False)
        await talk.ask("Hello.")
    assert sum(turn_complete(message) for message in talk.received) == 1
    (stream,) = emulator.account.voices
    report = emulator.account.voice(stream)
    assert report is not None
    assert [turn["kind"] for turn in report["context"]] == ["text", "audio", "audio"]


async def test_resume_keeps_everything(emulator: RunningEmulator) -> None:
    """After a resume the model knows what was said before it, and does not greet again; the account sees one voice."""
    live = client(emulator).aio.live
    async with live.connect(model=MODEL, config=config()) as session:
        first = Talk(session)
        await first.ask("My dog is Rex.")
    resumption = types.SessionResumptionConfig(handle=first.handle)
    async with live.connect(model=MODEL, config=config(session_resumption=resumption)) as session:
        second = Talk(session, first_frame=first.frame)
        assert await second.ask("What is my dog?") == "You told me your dog is Rex."
    report = emulator.account.voice(7)
    assert report is not None
    assert [connection["continued"] for connection in report["connections"]] == ["new", "handle"]
    assert report["greetings"] == 1
    assert report["frames"] == {
        "distinct_received": second.frame,
        "in_context": second.frame,
        "missing_in_context": 0,
        "repeated_in_context": 0,
    }


async def test_goaway_then_1008() -> None:
    """The end is announced with the time that is left, then comes, with the reason cut to 123 bytes."""
    async with (
        running_emulator(lifetime=1.0, goaway_lead=0.5) as emulator,
        client(emulator).aio.live.connect(model=MODEL, config=config()) as session,
    ):
        talk = Talk(session)
        warning = await talk.until(lambda message: message.go_away)
        error = await talk.closed()
    assert warning.go_away
    assert warning.go_away.time_left == "0.500s"
    assert error.code == 1008
    assert "failed to close the connection after receiving a GoAway signal once the session durat" in str(error)


async def test_a_dead_handle(emulator: RunningEmulator) -> None:
    """A handle nobody issued ends the setup with 1008."""
    resumption = types.SessionResumptionConfig(handle="never issued")
    with pytest.raises(errors.APIError, match="BidiGenerateContent session not found") as caught:
        async with client(emulator).aio.live.connect(model=MODEL, config=config(session_resumption=resumption)):
            pytest.fail("the session must not begin")
    assert caught.value.code == 1008


async def test_a_resume_while_the_old_socket_is_open(emulator: RunningEmulator) -> None:
    """It is refused with 1011; once the old socket is closed, the same handle works."""
    live = client(emulator).aio.live
    async with live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        await talk.until(has_handle)
        again = config(session_resumption=types.SessionResumptionConfig(handle=talk.handle))
        with pytest.raises(errors.APIError) as caught:
            async with live.connect(model=MODEL, config=again):
                pytest.fail("the session must not begin")
        assert caught.value.code == 1011
    async with live.connect(model=MODEL, config=again) as session:
        assert "Hello" in await Talk(session).ask("Hello.")


async def test_history_seeding(emulator: RunningEmulator) -> None:
    """A conversation rebuilt from its transcript goes on without a greeting and knows what it was told."""
    history = types.HistoryConfig(initial_history_in_client_content=True)
    async with client(emulator).aio.live.connect(model=MODEL, config=config(history_config=history)) as session:
        turns: list[types.Content | types.ContentDict] = [
            types.Content(role="user", parts=[types.Part(text="My dog is Rex.")]),
            types.Content(role="model", parts=[types.Part(text="Noted.")]),
        ]
        await session.send_client_content(turns=turns, turn_complete=True)
        talk = Talk(session)
        assert await talk.ask("What is my dog?") == "You told me your dog is Rex."
    report = emulator.account.voice(7)
    assert report is not None
    assert report["connections"][0]["continued"] == "history"
    assert report["greetings"] == 0


async def test_interruption() -> None:
    """Barge-in: interrupted, turnComplete, and the next answer knows what was said."""
    async with (
        running_emulator(speed=2.0) as emulator,
        client(emulator).aio.live.connect(model=MODEL, config=config()) as session,
    ):
        talk = Talk(session)
        await talk.say("Tell me a long story.")
        await talk.until(lambda message: message.data)
        await talk.say("My dog is Rex.")
        await talk.until(interrupted)
        await talk.until(turn_complete)
        assert not [m for m in talk.received if m.server_content and m.server_content.generation_complete]
        await talk.until(has_handle)
    report = emulator.account.voice(7)
    assert report is not None
    assert report["frames"]["distinct_received"] == talk.frame


async def test_a_tool_call(emulator: RunningEmulator) -> None:
    """The model calls a tool that the setup declares, and answers from its result."""
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_price")])
    async with client(emulator).aio.live.connect(model=MODEL, config=config(tools=[tool])) as session:
        talk = Talk(session)
        await session.send_realtime_input(text="Use the tool get_price with item is chair.")
        message = await talk.until(lambda received: received.tool_call)
        assert message.tool_call
        (call,) = message.tool_call.function_calls or []
        assert (call.name, call.args) == ("get_price", {"item": "chair"})
        response = types.FunctionResponse(id=call.id, name=call.name, response={"price": 5})
        await session.send_tool_response(function_responses=response)
        await talk.until(turn_complete)
    assert answer(talk.received).endswith('The tool has answered. get_price: {"price":5}')


async def test_an_interrupted_tool_call(emulator: RunningEmulator) -> None:
    """Speaking cancels the call by its id."""
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_price")])
    async with client(emulator).aio.live.connect(model=MODEL, config=config(tools=[tool])) as session:
        talk = Talk(session)
        await session.send_realtime_input(text="Use the tool get_price.")
        asked = await talk.until(lambda received: received.tool_call)
        await talk.say("Never mind.")
        cancelled = await talk.until(lambda received: received.tool_call_cancellation)
        await talk.until(interrupted)
    assert asked.tool_call
    assert cancelled.tool_call_cancellation
    assert cancelled.tool_call_cancellation.ids == [call.id for call in asked.tool_call.function_calls or []]


@pytest.mark.parametrize(("key", "code"), [("bad-key", 1007)])
async def test_a_bad_key(emulator: RunningEmulator, key: str, code: int) -> None:
    """A wrong key is an APIError with the close's code, since the upgrade succeeds."""
    with pytest.raises(errors.APIError, match="API key not valid") as caught:
        async with client(emulator, key).aio.live.connect(model=MODEL, config=config()):
            pytest.fail("the session must not begin")
    assert caught.value.code == code


async def test_an_unknown_model(emulator: RunningEmulator) -> None:
    """A model that does not exist is refused with 1008 and a hint."""
    with pytest.raises(errors.APIError, match="models/gemini-nope is not found for API version v1beta") as caught:
        async with client(emulator).aio.live.connect(model="gemini-nope", config=config()):
            pytest.fail("the session must not begin")
    assert caught.value.code == 1008


async def test_a_context_update_is_refused_by_this_model(emulator: RunningEmulator) -> None:
    """Gemini-live-2.5-flash-native-audio closes with 1007 on a context update."""
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        await session.send_context_update(system_instruction="Your name is Bob.")
        assert (await Talk(session).closed()).code == 1007


async def test_a_trailing_slash_in_the_base_url(emulator: RunningEmulator) -> None:
    """The SDK then asks for ``//ws/...``, which is the same place."""
    options = types.HttpOptions(base_url=f"{emulator.url}/", async_client_args={"ssl": emulator.ssl_context})
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        await Talk(session).ask("Hello.")
    slashed = genai.Client(api_key="k", http_options=options)
    async with slashed.aio.live.connect(model=MODEL, config=config()) as session:
        await Talk(session).ask("Hello.")


async def test_many_conversations_at_once() -> None:
    """Twenty conversations in one process go on side by side, each with its own facts."""
    async with running_emulator() as emulator:
        live = client(emulator).aio.live

        async def converse(number: int) -> str:
            async with live.connect(model=MODEL, config=config()) as session:
                talk = Talk(session, stream=number)
                await talk.ask(f"My number is {number}.")
                return await talk.ask("What is my number?")

        answers = await asyncio.gather(*(converse(number) for number in range(1, 21)))
    assert answers == [f"You told me your number is {number}." for number in range(1, 21)]


async def test_vertex(emulator: RunningEmulator) -> None:
    """On Vertex's path the session has a name, the response another field, and the role system works."""
    options = types.HttpOptions(base_url=emulator.url, async_client_args={"ssl": emulator.ssl_context})
    vertex = genai.Client(vertexai=True, api_key="any", http_options=options)
    async with vertex.aio.live.connect(model="gemini-3.8-live", config=config()) as session:
        assert session.session_id
        talk = Talk(session)
        rename = types.Content(role="system", parts=[types.Part(text="Your name is Bob.")])
        await session.send_client_content(turns=rename, turn_complete=False)
        assert (await talk.ask("Hello.")).startswith("Hello, this is Bob")
        await session.send_context_update(system_instruction="Your name is Eve.")
    usage = next(message.usage_metadata for message in talk.received if message.usage_metadata)
    assert usage.response_token_count
    updates = [message.session_resumption_update for message in talk.received if message.session_resumption_update]
    assert all(update.resumable for update in updates)


async def test_an_ephemeral_token(emulator: RunningEmulator) -> None:
    """A token goes to the constrained method, in its own header."""
    options = types.HttpOptions(
        base_url=emulator.url, api_version="v1alpha", async_client_args={"ssl": emulator.ssl_context}
    )
    with pytest.warns(errors.ExperimentalWarning):
        async with genai.Client(api_key="auth_tokens/any", http_options=options).aio.live.connect(
            model=MODEL, config=config()
        ) as session:
            await Talk(session).ask("Hello.")
