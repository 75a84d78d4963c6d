"""@google/genai in Node, unmodified, runs against the emulator as google-genai does."""

import json
import re
from pathlib import Path
from typing import Any, Final

from services.common import voice
from services.common.config import Address
from services.emulator import trust
from tests.support import javascript
from tests.support.emulator import RunningEmulator

PAGE: Final = (Path(__file__).parents[3] / "docs" / "emulator.md").read_text(encoding="utf-8")
TALK: Final = """
const done = { promise: null, resolve: null };
const reset = () => { done.promise = new Promise((resolve) => { done.resolve = resolve; }); };
const told = { text: "", handle: "", usage: null, calls: [], close: null };
const open = (config) => ai.live.connect({
  model: MODEL,
  config: { responseModalities: [Modality.AUDIO], outputAudioTranscription: {}, sessionResumption: {}, ...config },
  callbacks: {
    onmessage: (message) => {
      told.text += message.serverContent?.outputTranscription?.text ?? "";
      told.usage = message.usageMetadata ?? told.usage;
      told.calls.push(...(message.toolCall?.functionCalls ?? []));
      if (message.toolCall) done.resolve();
      if (message.sessionResumptionUpdate?.newHandle) {
        told.handle = message.sessionResumptionUpdate.newHandle;
        if (told.text) done.resolve();
      }
    },
    onerror: () => {},
    onclose: (event) => { told.close = { code: event.code, reason: event.reason }; done.resolve(); },
  },
});
const turn = async (say) => { told.text = ""; reset(); await say(); await done.promise; return told.text; };
"""


def client(emulator: RunningEmulator, key: str = "any") -> str:
    """The client as the documentation has it, and the model that the scripts use."""
    options = json.dumps({"apiKey": key, "httpOptions": {"baseUrl": emulator.url.replace("wss:", "https:")}})
    return (
        'import { GoogleGenAI, Modality } from "@google/genai";\n'
        f"const ai = new GoogleGenAI({options});\n"
        'const MODEL = "gemini-live-2.5-flash-native-audio";\n'
    )


async def told(emulator: RunningEmulator, script: str, key: str = "any") -> Any:  # noqa: ANN401 - JSON
    """What a script prints last, as JSON."""
    code = f"{client(emulator, key)}{TALK}\n{script}"
    return json.loads(await javascript.run(code, {"NODE_EXTRA_CA_CERTS": str(emulator.ca_path)}))


async def test_the_documented_example(emulator: RunningEmulator) -> None:
    """The example of the page, with the address and the CA of this emulator, prints an answer and ends."""
    found = re.search(r"```javascript\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    code = found[1].replace("https://127.0.0.1:7443", emulator.url.replace("wss:", "https:"))
    printed = await javascript.run(code, {"NODE_EXTRA_CA_CERTS": str(emulator.ca_path)})
    assert printed.startswith("Hello, this is Filo from the emulator.")


async def test_what_the_emulator_prints(emulator: RunningEmulator) -> None:
    """The printed JavaScript, pasted, makes a client that gets through; so does the environment for other programs."""
    address = Address("127.0.0.1", int(emulator.url.rpartition(":")[2]))
    printed = trust.instructions(address, emulator.ca_path)
    pasted = re.search(r"NODE_EXTRA_CA_CERTS=(\S+):\n\n(.*?)\n\nAny other", printed, re.DOTALL)
    assert pasted is not None
    script = (
        'import { Modality } from "@google/genai";\nconst MODEL = "gemini-3.8-live";\n'
        f"{pasted[2]}\n{TALK}\nconst session = await open({{}});\n"
        'console.log(await turn(() => session.sendRealtimeInput({ text: "Hello." })));\nsession.close();'
    )
    assert (await javascript.run(script, {"NODE_EXTRA_CA_CERTS": pasted[1]})).startswith("Hello, this is Filo")


async def test_speech_tools_content_and_a_resume(emulator: RunningEmulator) -> None:
    """Audio, a tool call, content with an image, and a resume that knows all of it; usage by modality."""
    frames = voice.speak("My dog is Rex.", stream=7, first_frame=0, utterance=0)
    spoken = b"".join([*frames, *[voice.silence(1)] * 30])
    result = await told(
        emulator,
        f'const spoken = Buffer.from("{spoken.hex()}", "hex").toString("base64");'
        """
        const parameters = { type: "OBJECT", properties: { item: { type: "STRING" } } };
        const tools = [{ functionDeclarations: [{ name: "get_price", parameters }] }];
        const first = await open({ tools, systemInstruction: "Your name is Ada." });
        const audio = { data: spoken, mimeType: "audio/pcm;rate=16000" };
        const greeted = await turn(() => first.sendRealtimeInput({ audio }));
        await turn(() => first.sendRealtimeInput({ text: "Use the tool get_price with item is chair." }));
        const [call] = told.calls;
        const response = { id: call.id, name: call.name, response: { price: 5 } };
        const priced = await turn(() => first.sendToolResponse({ functionResponses: [response] }));
        const image = { inlineData: { data: "AAAA", mimeType: "image/png" } };
        const parts = [image, { text: "What do you see?" }];
        await turn(() => first.sendClientContent({ turns: [{ role: "user", parts }] }));
        const usage = told.usage;
        reset(); first.close(); await done.promise;
        const second = await open({ sessionResumption: { handle: told.handle } });
        const known = await turn(() => second.sendRealtimeInput({ text: "What is my dog?" }));
        second.close();
        console.log(JSON.stringify({ greeted, call, priced, usage, known }));
        """,
    )
    assert result["greeted"].startswith("Hello, this is Ada")
    assert (result["call"]["name"], result["call"]["args"]) == ("get_price", {"item": "chair"})
    assert result["priced"].endswith('The tool has answered. get_price: {"price":5}')
    counted = {detail["modality"]: detail["tokenCount"] for detail in result["usage"]["promptTokensDetails"]}
    assert counted["IMAGE"] == 258
    assert counted["AUDIO"] > 0
    assert result["known"] == "You told me your dog is Rex."


async def test_a_refusal(emulator: RunningEmulator) -> None:
    """A wrong key is a close with its code and its reason, after the upgrade."""
    script = """
    reset();
    open({}).catch(() => {});
    await done.promise;
    console.log(JSON.stringify(told.close));
    process.exit(0);
    """
    assert await told(emulator, script, key="bad-key") == {
        "code": 1007,
        "reason": "API key not valid. Please pass a valid API key.",
    }
