"""google-genai, unmodified, through what a long conversation brings: full windows, new instructions, other input."""

import math
import random
import struct

import pytest
from google import genai
from google.genai import types

from tests.support.emulator import RunningEmulator, running_emulator
from tests.support.genai import MODEL, Talk, answer, client, config, has_handle, transcript, turn_complete

NEWEST = "gemini-3.8-live"


def vertex(emulator: RunningEmulator) -> genai.Client:
    """A client of Vertex, in express mode."""
    options = types.HttpOptions(base_url=emulator.url, async_client_args={"ssl": emulator.ssl_context})
    return genai.Client(vertexai=True, api_key="any", http_options=options)


def usages(talk: Talk) -> list[types.UsageMetadata]:
    """The usage of each turn."""
    return [message.usage_metadata for message in talk.received if message.usage_metadata]


async def test_compression() -> None:
    """A session with a sliding window outlives its window, forgets its beginning, and does not greet again."""
    window = types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow())
    async with (
        running_emulator(window=400) as emulator,
        client(emulator).aio.live.connect(model=MODEL, config=config(context_window_compression=window)) as session,
    ):
        talk = Talk(session)
        await talk.ask("My dog is Rex.")
        assert await talk.ask("What is my dog?") == "You told me your dog is Rex."
        answers = [await talk.ask("Tell me something about the weather.") for _ in range(6)]
        assert await talk.ask("What is my dog?") == "I am sorry, I do not think you told me your dog."
    assert not any(said.startswith("Hello") for said in answers)
    assert max(usage.prompt_token_count or 0 for usage in usages(talk)) <= 320


async def test_advice_that_is_replaced_is_gone(emulator: RunningEmulator) -> None:
    """On Vertex an update replaces the instruction: what it advised is followed no more, and all tokens are dear."""
    advice = "Your name is Ada.\n[SALES_MANAGER_INSTRUCTION] {}"
    wanted = config(system_instruction=advice.format("Mention the discount."))
    async with vertex(emulator).aio.live.connect(model=NEWEST, config=wanted) as session:
        talk = Talk(session)
        assert (await talk.ask("Hello.")).endswith("As advised (1): Mention the discount.")
        await talk.ask("Go on.")
        await session.send_context_update(system_instruction=advice.format("Ask for the budget."))
        assert (await talk.ask("Go on.")).endswith("As advised (1): Ask for the budget.")
        await session.send_context_update(system_instruction="Your name is Ada.")
        assert "As advised" not in await talk.ask("Go on.")
        await talk.ask("Go on.")
    cached = [bool(usage.cached_content_token_count) for usage in usages(talk)]
    assert cached == [False, True, False, False, True]


async def test_advice_that_is_said_stays(emulator: RunningEmulator) -> None:
    """As content it stays in the context, and with a second piece both cost tokens."""
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        for number, words in enumerate(("Mention the discount.", "Ask for the budget."), 1):
            advice = types.Content(role="user", parts=[types.Part(text=f"[SALES_MANAGER_INSTRUCTION] {words}")])
            await session.send_client_content(turns=advice, turn_complete=False)
            assert (await talk.ask("Go on.")).endswith(f"As advised ({number}): {words}")


async def test_context_update_is_ignored_by_the_developer_api(emulator: RunningEmulator) -> None:
    """The same model on the other API takes the update without a word, and goes on as before."""
    live = client(emulator).aio.live
    async with live.connect(model=NEWEST, config=config(system_instruction="Your name is Ada.")) as session:
        talk = Talk(session)
        await session.send_context_update(system_instruction="Your name is Bob.")
        assert (await talk.ask("Hello.")).startswith("Hello, this is Ada")


async def test_transparent_resumption(emulator: RunningEmulator) -> None:
    """Vertex tells up to which message a handle holds what was sent."""
    resumption = types.SessionResumptionConfig(transparent=True)
    async with vertex(emulator).aio.live.connect(model=NEWEST, config=config(session_resumption=resumption)) as session:
        talk = Talk(session)
        await talk.until(has_handle)
        await session.send_realtime_input(text="My dog is Rex.")
        await talk.until(turn_complete)
        await talk.until(has_handle)
    updates = [message.session_resumption_update for message in talk.received if has_handle(message)]
    assert [update.last_consumed_client_message_index for update in updates if update] == [0, 1]


async def test_explicit_activity_and_the_end_of_the_stream(emulator: RunningEmulator) -> None:
    """With detection off the client's marks make the turn; with it on, audioStreamEnd ends what was being said."""
    off = types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))
    live = client(emulator).aio.live
    async with live.connect(model=MODEL, config=config(realtime_input_config=off)) as session:
        talk = Talk(session)
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await talk.say("My dog is Rex.", silence=0)
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        await talk.until(turn_complete)
    async with live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        await talk.say("My dog is Rex.", silence=0)
        await session.send_realtime_input(audio_stream_end=True)
        await talk.until(turn_complete)
    assert transcript(talk.received, "input_transcription") == "My dog is Rex."


async def test_images_cost_tokens(emulator: RunningEmulator) -> None:
    """Video goes up as images, and is counted in its own modality."""
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        for _ in range(2):
            await session.send_realtime_input(video=types.Blob(data=b"an image", mime_type="image/jpeg"))
        await talk.ask("What do you see?")
    details = usages(talk)[0].prompt_tokens_details or []
    assert {detail.modality: detail.token_count for detail in details}[types.MediaModality.VIDEO] == 516


async def test_a_tool_that_does_not_block(emulator: RunningEmulator) -> None:
    """The model talks on, and interrupts itself when the result says so."""
    price = types.FunctionDeclaration(name="get_price", behavior=types.Behavior.NON_BLOCKING)
    wanted = config(tools=[types.Tool(function_declarations=[price])])
    async with client(emulator).aio.live.connect(model=MODEL, config=wanted) as session:
        talk = Talk(session)
        await session.send_realtime_input(text="Use the tool get_price.")
        asked = await talk.until(lambda message: message.tool_call)
        await talk.until(turn_complete)
        assert asked.tool_call
        (call,) = asked.tool_call.function_calls or []
        scheduling = types.FunctionResponseScheduling.INTERRUPT
        result = types.FunctionResponse(id=call.id, name=call.name, response={"price": 5}, scheduling=scheduling)
        start = len(talk.received)
        await session.send_tool_response(function_responses=result)
        await talk.until(turn_complete)
    assert answer(talk.received[start:]) == 'The tool has answered. get_price: {"price":5}'


SPOKEN = "(unknown speech, 1.0 s)"
"""What is loud of that recording, wherever it is cut."""


def recording(seconds: float, rate: int = 16_000) -> bytes:
    """Something like speech: syllables of a buzzing voice, with the noise of a room."""
    noise = random.Random(1)  # noqa: S311 - the same recording every time
    samples = []
    for at in range(int(seconds * rate)):
        time = at / rate
        syllable = max(0.0, math.sin(math.tau * 4 * time))
        voice = sum(math.sin(math.tau * 120 * harmonic * time) / harmonic for harmonic in range(1, 9))
        samples.append(int(6_000 * syllable * voice + noise.gauss(0.0, 40.0)))
    return struct.pack(f"<{len(samples)}h", *samples)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("size", [640, 3_200, 4_095, 32_000, None])
async def test_a_recording(emulator: RunningEmulator, rate: int, size: int | None) -> None:
    """A real voice, in chunks of any size or all in one, is unknown speech of the same length, and is answered."""
    chance = random.Random(2)  # noqa: S311 - the same noise every time
    room = struct.pack(f"<{rate}h", *(int(chance.gauss(0.0, 40.0)) for _ in range(rate)))
    sound = recording(2.0, rate) + room
    step = size or len(sound)
    async with client(emulator).aio.live.connect(model=MODEL, config=config()) as session:
        talk = Talk(session)
        for at in range(0, len(sound), step):
            blob = types.Blob(data=sound[at : at + step], mime_type=f"audio/pcm;rate={rate}")
            await session.send_realtime_input(audio=blob)
        await talk.until(turn_complete)
    heard = transcript(talk.received, "input_transcription")
    assert heard == SPOKEN
    assert f"I heard you, {heard.strip('()')}" in answer(talk.received)
