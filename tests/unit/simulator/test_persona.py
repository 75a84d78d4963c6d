"""A persona that cannot be used is told about whole, with the place of every mistake."""

import pytest
import yaml

from services.simulator import persona
from services.simulator.documents import DocumentError


def shipped_as_data(name: str = "enthusiastic") -> dict[str, object]:
    """A shipped persona as YAML reads it."""
    data = yaml.safe_load((persona.SHIPPED / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(data, dict)
    return data


@pytest.mark.parametrize("name", persona.shipped())
def test_every_shipped_persona_can_be_used(name: str) -> None:
    """It loads under its own name, and goes from discovery to demo."""
    loaded = persona.load(name)
    assert loaded.name == name
    assert len(loaded.facts) >= persona.FEWEST_FACTS
    assert [loaded.phases[0].name, loaded.phases[-1].name] == ["discovery", "demo"]


def test_an_unknown_persona_names_those_there_are() -> None:
    """A slip of the pen is answered with the choice."""
    with pytest.raises(DocumentError, match="shipped are distracted, enthusiastic"):
        persona.load("entusiastic")


def test_every_mistake_is_told_at_once() -> None:
    """All of them come in one error, each with its place."""
    data = shipped_as_data() | {
        "identity": {"name": "Giulia", "role": 7},
        "goals": [],
        "facts": [
            {"phrase": "company", "value": "Bright. Water", "lead": "So."},
            {"phrase": "Company", "value": "what is best", "lead": "My dog is old."},
        ],
        "topics": ["reports", ""],
        "phases": [{"name": "demo", "share": 0.5, "lines": ["Show {thing}.", "What is my price?", "Show {thing}."]}],
        "colour": "green",
    }
    with pytest.raises(DocumentError) as raised:
        persona.parse(yaml.safe_dump(data), "mine")
    told = "\n".join(raised.value.problems)
    for expected in (
        "colour: is not a field",
        "identity.role: must be a text",
        "identity.company: must be a text",
        "goals: must be a list",
        "facts[0].value: 'Bright. Water'",
        "facts[1].value: 'what is best'",
        "facts[1].lead: 'My dog is old.' looks like a fact",
        "facts: there must be at least 8, there are 2",
        "facts: 'company' is told twice",
        "topics[1]: must be a text",
        "phases[0].lines[0]: 'Show {thing}.' has a placeholder",
        "phases[0].lines[1]: 'What is my price?' looks like a fact or asks for one",
        "phases: 'Show {thing}.' is there 2 times",
        "phases: the shares must make 1, they make 0.5",
    ):
        assert expected in told
    assert "persona mine" in str(raised.value)


def test_a_mistake_is_told_with_its_line() -> None:
    """The line of the field, or of what it is missing from; and a field that is there twice, of which YAML takes 1."""
    text = """
name: mine
identity:
  name: Giulia
  role: 7
goals:
  - To save time.
  - 12
goals: [To grow.]
loop: &loop [*loop]
"""
    with pytest.raises(DocumentError) as raised:
        persona.parse(text, "mine")
    problems = raised.value.problems
    for place, line in (("identity.role", 5), ("identity.company", 3), ("goals", 9), ("loop", 10)):
        assert any(told.startswith(f"{place}: ") and told.endswith(f" (line {line})") for told in problems), problems
    assert "goals: is given twice (line 9)" in problems
    assert any(told.startswith("topics: ") and "(line" not in told for told in problems), "there is no place for it"


@pytest.mark.parametrize("text", ["", "- a list", "a: [", "just words"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    """Neither broken YAML nor another shape gets any further."""
    with pytest.raises(DocumentError, match="persona mine"):
        persona.parse(text, "mine")


@pytest.mark.parametrize(
    "text",
    ["name: 2026-13-45", "name: !!int many", "name: !!int ''", "name: !!bool 7", "name: !!timestamp soon", "[" * 3000],
)
def test_a_value_that_yaml_cannot_read_is_refused(text: str) -> None:
    """A date that is none, a tag that does not fit, nesting without end: a sentence, as for all that is no YAML."""
    with pytest.raises(DocumentError, match="persona mine: is not YAML"):
        persona.parse(text, "mine")


def test_half_a_character_is_refused() -> None:
    """A lone surrogate cannot be sent or written."""
    with pytest.raises(DocumentError, match=r"name: holds half a character \(line 1\)"):
        persona.parse('name: "\\ud800"', "mine")


@pytest.mark.parametrize("share", [0, -1, 1.5, "half", True, None])
def test_a_share_is_a_part_of_the_run(share: object) -> None:
    """Anything but a number above 0 and at most 1 is refused."""
    data = shipped_as_data()
    data["phases"] = [{"name": "demo", "share": share, "lines": ["Show {topic}."]}]
    with pytest.raises(DocumentError, match=r"phases\[0\].share"):
        persona.parse(yaml.safe_dump(data), "mine")
