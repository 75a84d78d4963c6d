"""generateContent over REST, with google-genai unmodified: text personas and judges."""

import asyncio
import json

import aiohttp
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from tests.support.emulator import RunningEmulator

MODEL = "gemini-2.5-flash"
# google-genai derives a class from aiohttp's, which aiohttp discourages; it is not ours to change.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


def client(emulator: RunningEmulator, key: str = "any", *, vertex: bool = False) -> genai.Client:
    """A client for REST and the socket, blocking and not, as the emulator prints it."""
    options = types.HttpOptions(
        base_url=emulator.url.replace("wss:", "https:"),
        client_args={"verify": emulator.ssl_context},
        async_client_args={"ssl": emulator.ssl_context},
    )
    return genai.Client(vertexai=vertex, api_key=key, http_options=options)


@pytest.mark.parametrize("vertex", [False, True])
async def test_a_text_answer_from_the_contents(emulator: RunningEmulator, vertex: bool) -> None:  # noqa: FBT001
    """The contents are the context: a fact told in them is recalled, there is no greeting, and tokens are counted."""
    told: list[types.Content] = [
        types.Content(role="user", parts=[types.Part(text="My dog is Rex.")]),
        types.Content(role="model", parts=[types.Part(text="Noted.")]),
        types.Content(role="user", parts=[types.Part(text="What is my dog?")]),
    ]
    models = client(emulator, vertex=vertex).aio.models
    answer = await models.generate_content(model=MODEL, contents=list(told))
    assert answer.text == "You told me your dog is Rex."
    assert answer.usage_metadata
    assert answer.usage_metadata.prompt_token_count == 4 + 2 + 4
    assert answer.model_version == MODEL


async def test_a_blocking_client(emulator: RunningEmulator) -> None:
    """The SDK's blocking half, in a thread of its own, gets the same answer."""
    blocking = client(emulator)
    answer = await asyncio.to_thread(blocking.models.generate_content, model=MODEL, contents="What is my dog?")
    assert answer.text == "I am sorry, I do not think you told me your dog."


async def test_a_stream(emulator: RunningEmulator) -> None:
    """Streamed, the answer comes in one piece."""
    models = client(emulator).aio.models
    pieces = [
        piece.text async for piece in await models.generate_content_stream(model=MODEL, contents="My dog is Rex.")
    ]
    assert pieces == [(await models.generate_content(model=MODEL, contents="My dog is Rex.")).text]


class Verdict(BaseModel):
    """What a judge has to say."""

    passed: bool
    score: int
    reason: str
    tags: list[str]


async def test_a_judge(emulator: RunningEmulator) -> None:
    """Asked for JSON by a schema, the answer fits the schema."""
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Verdict)
    answer = await client(emulator).aio.models.generate_content(model=MODEL, contents="Judge this.", config=config)
    assert isinstance(answer.parsed, Verdict)
    assert answer.parsed.passed
    assert answer.parsed.reason


async def test_a_function_call(emulator: RunningEmulator) -> None:
    """A declared function is called, and its result told."""
    tool = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_price")])
    automatic = types.AutomaticFunctionCallingConfig(disable=True)
    config = types.GenerateContentConfig(tools=[tool], automatic_function_calling=automatic)
    models = client(emulator).aio.models
    asked = types.Content(role="user", parts=[types.Part(text="Use the tool get_price with item is chair.")])
    answer = await models.generate_content(model=MODEL, contents=[asked], config=config)
    (call,) = answer.function_calls or []
    assert (call.name, call.args) == ("get_price", {"item": "chair"})
    called = types.Content(role="model", parts=[types.Part(function_call=call)])
    result = types.Part.from_function_response(name="get_price", response={"price": 5})
    told = types.Content(role="user", parts=[result])
    answer = await models.generate_content(model=MODEL, contents=[asked, called, told], config=config)
    assert answer.text == 'The tool has answered. get_price: {"price":5}'


@pytest.mark.parametrize(
    ("key", "model", "code", "message"),
    [
        ("bad-key", MODEL, 400, "API key not valid"),
        ("any", "nope", 404, "models/nope is not found for API version v1,"),
        ("any", "gemini-3.8-live", 404, "is not supported for generateContent"),
    ],
)
async def test_refusals(emulator: RunningEmulator, key: str, model: str, code: int, message: str) -> None:
    """What the real service refuses is refused, with its status and its sentence."""
    with pytest.raises(errors.ClientError, match=message) as caught:
        await client(emulator, key).aio.models.generate_content(model=model, contents="Hi.")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("nonsense", 400, "Invalid JSON payload received."),
        ("{}", 400, "contents is not specified"),
        ('{"nope": 1}', 400, 'Invalid JSON payload received. Unknown name "nope": Cannot find field.'),
        ('{"contents": [{"role": "cat"}]}', 400, "Please use a valid role: user, model."),
        ('{"contents": [{"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "AAAA"}}]}]}', 200, ""),
    ],
)
async def test_raw_requests(emulator: RunningEmulator, body: str, status: int, message: str) -> None:
    """Errors are bodies as Google writes them; a missing key is 403."""
    url = f"{emulator.url.replace('wss:', 'https:')}/v1beta/models/{MODEL}:generateContent"
    connector = aiohttp.TCPConnector(ssl=emulator.ssl_context)
    async with aiohttp.ClientSession(connector=connector) as http:
        async with http.post(url, data=body, headers={"x-goog-api-key": "any"}) as response:
            assert response.status == status
            assert message in json.dumps(await response.json()).replace('\\"', '"')
        async with http.post(url, data=body) as response:
            assert response.status == 403
            assert (await response.json())["error"]["status"] == "PERMISSION_DENIED"
