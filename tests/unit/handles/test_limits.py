"""What a request must look like."""

import functools
from collections.abc import Callable

import pytest
from google.protobuf.struct_pb2 import Struct

from filo.handles.v1.resources_pb2 import (
    CONTINUITY_UNSPECIFIED,
    MODE_ASSISTANT,
    MODE_CONSULTATION_INVITE,
    MODE_SALES_AGENT,
    AgentConfig,
    Ledger,
    Owner,
    ToolCall,
    Turn,
    UpstreamHandle,
)
from services.common.errors import Reason, ServiceError
from services.handles import limits
from services.handles.limits import LIMITS


def refused(call: Callable[[], object]) -> str:
    """The field that is refused."""
    with pytest.raises(ServiceError) as caught:
        call()
    assert caught.value.reason is Reason.INVALID_ARGUMENT
    return caught.value.metadata["field"]


def most(field: str) -> int:
    """The limit of a field."""
    return LIMITS[field].most


def test_a_name_gives_its_id() -> None:
    """Exactly the names that the store makes."""
    assert limits.conversation_id("conversations/" + "0f" * 16) == "0f" * 16


@pytest.mark.parametrize(
    "name",
    ["", "0f" * 16, "conversations/", "conversations/" + "0F" * 16, "conversations/" + "0f" * 16 + "\n", "runs/1"],
)
def test_another_name_is_refused(name: str) -> None:
    """No guess about what was meant."""
    assert refused(lambda: limits.conversation_id(name)) == "name"


def test_request_ids_have_one_spelling() -> None:
    """The same UUID in capitals is the same request."""
    text = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert limits.request_id(text.upper()) == limits.request_id(text) == text
    assert refused(lambda: limits.request_id("1")) == "request_id"
    assert refused(lambda: limits.request_id("")) == "request_id"


@pytest.mark.parametrize("mode", [0, 4, -1])
def test_a_mode_must_be_named(mode: int) -> None:
    """Neither unspecified nor from a newer contract."""
    assert refused(lambda: limits.mode(mode)) == "mode"  # type: ignore[arg-type]  # what the wire can carry


def test_the_mode_demands_its_owner() -> None:
    """R2.2: share token for the two shared modes, user id for the assistant; the other kind is refused."""
    user, shared = Owner(user_id="ada"), Owner(share_token="12345678")
    for mode in (MODE_SALES_AGENT, MODE_CONSULTATION_INVITE):
        assert limits.owner_created(shared, mode) == shared
        assert refused(functools.partial(limits.owner_created, user, mode)) == "owner"
    assert limits.owner_created(user, MODE_ASSISTANT) == user
    assert refused(lambda: limits.owner_created(shared, MODE_ASSISTANT)) == "owner"
    assert refused(lambda: limits.owner_created(Owner(), MODE_ASSISTANT)) == "owner"


@pytest.mark.parametrize("token", ["", "1234567", "x" * 513, "12345678\0"])
def test_a_new_share_token_has_a_sound_length(token: str) -> None:
    """8 to 512 characters, as the contract says."""
    assert refused(lambda: limits.owner_created(Owner(share_token=token), MODE_SALES_AGENT)) == "owner.share_token"


@pytest.mark.parametrize("user", ["", "x" * 257, "a\0"])
def test_a_new_user_id_has_a_sound_length(user: str) -> None:
    """1 to 256 characters."""
    assert refused(lambda: limits.owner_created(Owner(user_id=user), MODE_ASSISTANT)) == "owner.user_id"


def test_characters_are_counted_as_people_count_them() -> None:
    """A limit in characters does not punish those who need two bytes for one."""
    owner = Owner(user_id="é" * 256)
    assert limits.owner_created(owner, MODE_ASSISTANT) == owner


def test_a_presented_owner_may_be_anything_but_nobody() -> None:
    """A client's short token is wrong, not a bad argument of the relay."""
    assert limits.owner_presented(Owner(share_token="x")) == Owner(share_token="x")
    assert refused(lambda: limits.owner_presented(Owner())) == "owner"


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("agent.model", {"model": ""}),
        ("agent.model", {"model": "x" * (most("agent.model") + 1)}),
        ("agent.system_instruction", {"system_instruction": "é" * (most("agent.system_instruction") // 2 + 1)}),
        ("agent.voice", {"voice": "x" * (most("agent.voice") + 1)}),
        ("agent.language_code", {"language_code": "x" * (most("agent.language_code") + 1)}),
        ("agent.volatile_tools", {"volatile_tools": ["x", "x" * most("agent.volatile_tools")]}),
        ("agent.temperature", {"temperature": -0.1}),
        ("agent.temperature", {"temperature": 2.1}),
        ("agent.temperature", {"temperature": float("nan")}),
    ],
)
def test_an_agent_has_limits(field: str, fields: dict[str, object]) -> None:
    """Each refusal names its field."""
    config = AgentConfig(**{"model": "m", **fields})  # type: ignore[arg-type]  # by name
    assert refused(lambda: limits.agent(config)) == field


def test_tools_have_a_limit_together() -> None:
    """Many small ones count as one large one."""
    tool = Struct()
    tool.update({"description": "x" * 1000})
    assert refused(lambda: limits.agent(AgentConfig(model="m", tools=[tool] * 300))) == "agent.tools"


def test_a_script_of_80_kb_is_taken() -> None:
    """The plans' scripts fit with room to spare, and so does everything at its limit."""
    config = AgentConfig(model="m", system_instruction="x" * most("agent.system_instruction"), temperature=2.0)
    assert limits.agent(config) == config


@pytest.mark.parametrize("holder", ["", "relay", "relay:", "relay:0", "relay:70000", "x" * 300 + ":1"])
def test_a_holder_is_an_address(holder: str) -> None:
    """Something that another relay can call."""
    assert refused(lambda: limits.holder(holder)) == "holder"


def test_epochs_begin_with_the_first_attach() -> None:
    """Only the end may name 0: a conversation that nobody attached can be ended."""
    assert refused(lambda: limits.epoch(0)) == "epoch"
    assert limits.epoch(0, lowest=0) == 0
    assert refused(lambda: limits.epoch(-1, lowest=0)) == "epoch"


@pytest.mark.parametrize(
    ("field", "turn"),
    [
        ("turns.number", Turn(number=0)),
        ("turns.covered_seq", Turn(number=1, covered_seq=-1)),
        ("turns.message_number", Turn(number=1, message_number=-1)),
        ("turns.epoch", Turn(number=1, epoch=3)),
        ("turns.epoch", Turn(number=1, epoch=-1)),
        ("turns.user_text", Turn(number=1, user_text="x" * (most("turns.user_text") + 1))),
        ("turns.agent_text", Turn(number=1, agent_text="x" * (most("turns.agent_text") + 1))),
        ("turns.tool_calls", Turn(number=1, tool_calls=[ToolCall(name="x" * (most("turns.tool_calls") + 1))])),
    ],
)
def test_turns_have_limits(field: str, turn: Turn) -> None:
    """Each refusal names its field; a turn is not of a later epoch than who stores it."""
    assert refused(lambda: limits.turns([turn], 2)) == field


def test_a_checkpoint_holds_a_bounded_number_of_turns() -> None:
    """More come in the next one."""
    many = [Turn(number=n + 1) for n in range(most("turns"))]
    assert limits.turns(many, 1) == many
    assert refused(lambda: limits.turns([*many, Turn(number=9)], 1)) == "turns"


def test_an_upstream_handle_has_a_secret() -> None:
    """An empty one resumes nothing."""
    assert refused(lambda: limits.upstream_handle(UpstreamHandle(covers_turn=1))) == "upstream_handle.secret"
    negative = UpstreamHandle(secret="s", covers_turn=-1)
    assert refused(lambda: limits.upstream_handle(negative)) == "upstream_handle.covers_turn"


def test_a_ledger_counts() -> None:
    """No count is negative, and the field is named."""
    assert refused(lambda: limits.ledger(Ledger(context_tokens=1, user_tokens=-1))) == "ledger.user_tokens"
    named = Ledger(context_tokens=1, prompt_tokens_by_modality={"TEXT": 10, "AUDIO": 0})
    assert limits.ledger(named) == named
    named.prompt_tokens_by_modality["AUDIO"] = -1
    assert refused(lambda: limits.ledger(named)) == "ledger.prompt_tokens_by_modality"


def test_a_ledger_does_not_grow() -> None:
    """It is written with every turn."""
    many = Ledger(prompt_tokens_by_modality={f"MODALITY_{n}": 1 for n in range(1000)})
    assert refused(lambda: limits.ledger(many)) == "ledger"


def test_a_reason_is_a_sentence() -> None:
    """At most 200 characters, of any script."""
    assert limits.reason("é" * 200) == "é" * 200
    assert refused(lambda: limits.reason("x" * 201)) == "reason"


def test_continuity_is_a_named_value() -> None:
    """Or none at all."""
    assert limits.continuity(CONTINUITY_UNSPECIFIED) == CONTINUITY_UNSPECIFIED
    assert refused(lambda: limits.continuity(9)) == "continuity"  # type: ignore[arg-type]  # as the wire may
