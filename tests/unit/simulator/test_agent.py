"""Agents are documents, and a script of any length is written by a seed."""

import pytest
from google.protobuf.json_format import MessageToDict

from services.simulator import agent
from services.simulator.documents import DocumentError
from services.simulator.script import CHARACTERS_PER_TOKEN, sales_script


@pytest.mark.parametrize("name", agent.shipped())
def test_every_shipped_agent_can_be_used(name: str) -> None:
    """It loads under its own name and introduces itself by its identity, once."""
    loaded = agent.load(name)
    assert loaded.name == name
    config = loaded.config("models/x")
    assert config.system_instruction.startswith(f"Your name is {loaded.identity['name']}.")
    assert len(config.system_instruction.encode()) < 2**20


def test_the_long_runs_agent_has_a_script_of_20000_tokens() -> None:
    """Before a window of 32,000, as the requirement has it."""
    scripted = agent.load("scripted")
    assert 20_000 <= len(scripted.instruction) / CHARACTERS_PER_TOKEN < 20_600
    assert scripted.model == "models/gemini-live-2.5-flash"


def test_a_script_is_repeatable_and_no_two_are_alike() -> None:
    """The same seed writes the same; a longer one begins as the shorter one does; no section comes twice."""
    text = sales_script(7, 5_000)
    assert text == sales_script(7, 5_000)
    assert text != sales_script(8, 5_000)
    assert sales_script(7, 9_000).startswith(text)
    assert 5_000 * CHARACTERS_PER_TOKEN <= len(text) < 5_400 * CHARACTERS_PER_TOKEN
    sections = text.splitlines()
    assert len(set(sections)) == len(sections)


def test_tools_are_declared_as_gemini_has_them() -> None:
    """And answered as the document says."""
    assistant = agent.load("assistant")
    (declared,) = MessageToDict(assistant.config("models/x"))["tools"]
    function = declared["functionDeclarations"][0]
    assert (function["name"], function["parameters"]["required"][0]) == ("price_list", "plan")
    assert assistant.results() == {"price_list": {"basic": 12, "team": 19, "large": 27}}


def test_every_mistake_is_told_at_once() -> None:
    """All of them come in one error, each with its place."""
    text = """
    name: bad
    identity: {name: Ada}
    instruction: ""
    temperature: 3
    script: {tokens: 0, seeds: 3}
    tools: [{name: "price list", result: 3}]
    tone: warm
    """
    with pytest.raises(DocumentError) as raised:
        agent.parse(text, "mine.yaml")
    told = "\n".join(raised.value.lines)
    for expected in (
        "mine.yaml: tone: is not a field",
        "identity.company: must be a text",
        "instruction: must be a text",
        "temperature: must be a number from 0 to 2, not 3",
        "script.seeds: is not a field",
        "script.tokens: must be a whole number from 1 to 200000, not 0",
        "tools[0].name: 'price list' must be letters",
        "tools[0].description: must be a text",
        "tools[0].result: must be a mapping",
    ):
        assert expected in told
