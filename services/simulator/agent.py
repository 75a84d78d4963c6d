"""Agents: who sells, in which voice, with which tools and by which script, as a YAML file that anyone can write."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import struct_pb2

from filo.handles.v1 import resources_pb2
from services.simulator import documents
from services.simulator.documents import Fields, Reader
from services.simulator.script import sales_script

SHIPPED: Final = Path(__file__).parent / "agents"
KIND: Final = "agent"
LONGEST_SCRIPT: Final = 200_000
"""Tokens; more does not fit any window, and not the relay's limit of 1 MiB either."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the agent may call.

    Attributes:
        name: What the agent calls it.
        description: When to call it.
        parameters: Its arguments, as Gemini's JSON schema.
        result: What it always answers.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent that prospects talk to.

    Attributes:
        name: What a run's spec calls it.
        identity: Its name and company; it introduces itself by them, once.
        model: Gemini's model; empty for the simulator's own.
        voice: The name of a prebuilt voice; empty for the model's own.
        language: A BCP-47 code; empty for the model's own choice.
        temperature: Of sampling; None for the model's own.
        instruction: The system instruction, the script in it.
        tools: What it may call.
    """

    name: str
    identity: dict[str, str]
    model: str
    voice: str
    language: str
    temperature: float | None
    instruction: str
    tools: tuple[Tool, ...]

    def config(self, model: str, note: str = "") -> resources_pb2.AgentConfig:
        """Its configuration at the relay.

        Args:
            model: Gemini's model.
            note: A line at the end of the instruction, if it needs one.
        """
        config = resources_pb2.AgentConfig(
            model=model,
            system_instruction=f"{self.instruction}{note}",
            voice=self.voice,
            language_code=self.language,
        )
        if self.temperature is not None:
            config.temperature = self.temperature
        if self.tools:
            config.tools.append(_declared(self.tools))
        return config

    def results(self) -> dict[str, dict[str, Any]]:
        """What each tool answers."""
        return {tool.name: tool.result for tool in self.tools}


def shipped() -> list[str]:
    """The names of the agents that come with the simulator."""
    return documents.shipped(SHIPPED)


def load(name: str, document: str = "") -> Agent:
    """A shipped agent, or the one in `document`, called `name` in errors.

    Raises:
        DocumentError: There is none of that name, or it cannot be used.
    """
    return parse(document or documents.text_of(KIND, SHIPPED, name), name)


def parse(text: str, source: str) -> Agent:
    """Read an agent from YAML.

    Raises:
        DocumentError: It cannot be used; it names everything that is wrong.
    """
    reader = Reader(KIND, source)
    agent = _agent(reader.load(text))
    reader.check()
    return agent


def _agent(given: Fields) -> Agent:
    given.only("name", "identity", "model", "voice", "language", "temperature", "instruction", "script", "tools")
    identity = given.fields("identity")
    identity.only("name", "company")
    who = {key: identity.text(key) for key in ("name", "company")}
    instruction = given.text("instruction")
    tools = tuple(_tool(item) for item in given.mappings("tools", required=False))
    for name in {tool.name for tool in tools if [other.name for other in tools].count(tool.name) > 1}:
        given.wrong("tools", f"{name!r} is there twice")
    model = given.text("model", "")
    return Agent(
        name=given.text("name"),
        identity=who,
        model=f"models/{model.rpartition('/')[2]}" if model else "",
        voice=given.text("voice", ""),
        language=given.text("language", ""),
        temperature=given.number("temperature", None, low=0, high=2),
        instruction=_introduction(who) + instruction.rstrip() + "\n" + _script(given.fields("script", required=False)),
        tools=tools,
    )


def _introduction(who: dict[str, str]) -> str:
    name, company = who["name"], who["company"]
    return (
        f"Your name is {name}. You work for {company}.\n"
        f"Begin your first answer, and only that one, with: Hello, this is {name} from {company}.\n"
    )


def _script(given: Fields) -> str:
    """The generated script; empty where none is wanted."""
    if not given.data:
        return ""
    given.only("tokens", "seed")
    tokens = given.integer("tokens", low=1, high=LONGEST_SCRIPT)
    return f"Follow this script:\n{sales_script(given.integer('seed', 0, low=0, high=2**63 - 1), tokens)}\n"


def _tool(given: Fields) -> Tool:
    given.only("name", "description", "parameters", "result")
    name = given.text("name")
    if name and not name.isidentifier():
        given.wrong("name", f"{name!r} must be letters, digits and underscores")
    return Tool(
        name,
        given.text("description"),
        dict(given.fields("parameters", required=False).data),
        dict(given.fields("result").data),
    )


def _declared(tools: tuple[Tool, ...]) -> struct_pb2.Struct:
    declared = struct_pb2.Struct()
    functions: list[Any] = [
        {
            "name": tool.name,
            "description": tool.description,
            **({"parameters": tool.parameters} if tool.parameters else {}),
        }
        for tool in tools
    ]
    declared.update({"functionDeclarations": functions})
    return declared
