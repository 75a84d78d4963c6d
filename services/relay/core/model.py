"""The values that events, effects and decisions share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Continuity(StrEnum):
    """How the context survived a change of connection."""

    HANDLE = "handle"
    REBASED = "rebased"
    TRANSCRIPT = "transcript"
    NONE = "none"


class RotationMode(StrEnum):
    """Who replaces the upstream connection before it ends."""

    RELAY = "relay"
    CLIENT = "client"


class RotationReason(StrEnum):
    """Why an upstream connection is replaced."""

    GO_AWAY = "go_away"
    AGE = "age"
    STALL = "stall"
    FALSE_RESUME = "false_resume"
    CONTEXT_PRESSURE = "context_pressure"
    REBASE = "rebase"
    UPSTREAM_CLOSED = "upstream_closed"
    HANDLE_REJECTED = "handle_rejected"
    CLIENT = "client"


class Role(StrEnum):
    """Who spoke."""

    USER = "user"
    AGENT = "agent"


class Mark(NamedTuple):
    """A point in the client's input.

    Args:
        position: In this relay's own numbering of the inputs of a conversation, from 1; 0 is before the first.
        seq: The client's number of the same input.
    """

    position: int
    seq: int


class Consumed(NamedTuple):
    """What a context holds of what one connection was sent.

    Args:
        mark: The newest input.
        advised: The newest advice is in it.
    """

    mark: Mark
    advised: bool = False


START = Mark(0, 0)
"""Before the first input."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asked for, and its result once it came."""

    id: str
    name: str
    args: Mapping[str, Any]
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A completed turn: what was said and what was heard.

    Args:
        number: From 1.
        user_text: What the client said.
        agent_text: What the client was sent of the answer.
        interrupted: The client spoke into the answer.
        covered_seq: The newest client sequence number that belongs to this turn or an earlier one.
        tool_calls: In order.
    """

    number: int
    user_text: str
    agent_text: str
    interrupted: bool = False
    covered_seq: int = 0
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class UpstreamHandle:
    """Gemini's resumption secret and the newest turn in the context behind it."""

    secret: str = field(repr=False)
    covers_turn: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn, by Gemini's usage metadata.

    Args:
        prompt: The whole context that the turn was answered from.
        response: The answer.
        by_modality: The prompt again, by Gemini's names of the modalities (``TEXT``, ``AUDIO``); empty where it does
            not tell them apart.
        cached: How much of the prompt came from Gemini's cache.
        answer_by_modality: The answer again, in the same way.
        thoughts: What the model thought before it answered: billed like an answer, and no part of it.
        tool_results: What tools that Gemini runs itself gave it to read: billed like a prompt, and no part of it.
    """

    prompt: int
    response: int
    by_modality: Mapping[str, int] = field(default_factory=dict)
    cached: int = 0
    answer_by_modality: Mapping[str, int] = field(default_factory=dict)
    thoughts: int = 0
    tool_results: int = 0

    @property
    def billed(self) -> tuple[int, int, int]:
        """Tokens of prompts that came from the cache, of those that did not, and of answers."""
        return self.cached, self.prompt - self.cached + self.tool_results, self.response + self.thoughts


@dataclass(frozen=True, slots=True)
class Told:
    """What a connection was sent as content before the talk went on.

    Args:
        user_tokens: What the client had said should cost; a summary of what was left out counts among it.
        agent_tokens: What the agent had answered should.
        turns: How many turns.
        left_out: How many older turns did not fit the history budget.
    """

    user_tokens: int = 0
    agent_tokens: int = 0
    turns: int = 0
    left_out: int = 0


NOTHING_TOLD = Told()
"""No content was sent."""


class FeedbackPolicy(StrEnum):
    """How advice is brought to the agent and taken out of the context again; see the contract's `FeedbackPolicy`."""

    AUTO = "auto"
    APPEND = "append"
    JUST_IN_TIME = "just_in_time"
    REPLACE = "replace"
    REBASE = "rebase"


class FeedbackSignal(StrEnum):
    """Who is believed when it says that the client has begun to speak."""

    LOCAL = "local"
    """The relay's own energy detector: at the first loud frame."""
    UPSTREAM = "upstream"
    """Gemini's voice activity detection: with the first piece of what it has heard."""


class FeedbackState(StrEnum):
    """What has become of an item of feedback; it only moves forward, in this order."""

    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    DELIVERED = "delivered"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Feedback:
    """Private advice to the agent.

    Args:
        id: Its number within the conversation, in decimal digits.
        text: Without the prefix; empty for an old item of which only its being in the context matters.
        state: `ACCEPTED`, or `DELIVERED` when a relay that attaches finds it in the context.
        turn: The turn that it served; 0 before it is delivered.
        tokens: Its tokens in the context; 0 before it is delivered.
        expires_at: Monotonic seconds, on the driver's clock; None where it waits as long as the conversation lives.
        detail: By what it was delivered.
    """

    id: str
    text: str = field(repr=False)
    state: FeedbackState = FeedbackState.ACCEPTED
    turn: int = 0
    tokens: int = 0
    expires_at: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FeedbackChange:
    """What became of an item of feedback.

    Args:
        id: Of the item.
        state: Its new one.
        turn: The turn that it served; 0 where there was none.
        tokens: Its tokens in the context.
        detail: By what; at most 200 characters, without a word of the text.
        again: It was in this state before, and only the detail is news.
    """

    id: str
    state: FeedbackState
    turn: int = 0
    tokens: int = 0
    detail: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that decisions depend on; times in seconds.

    Args:
        goaway_margin: How long before the announced end a rotation no longer waits for a turn boundary.
        goaway_unknown: The time left that is assumed when goAway names none.
        max_age: A connection older than this is rotated at the next boundary; 0 turns it off.
        age_patience: How long such a rotation waits for the boundary.
        age_spread: Conversations that were opened together rotate within so long before that age, not all at once; a
            quarter of the age at most.
        grace: How long a conversation whose client is gone stays attached.
        retry_base: The bound of the first wait before another dial; it doubles with each.
        retry_cap: The highest bound.
        dials_a_drop: Dials without progress after which the relay gives up.
        dials_a_life: Dials after an unplanned loss that one attached conversation may cost in all.
        stable_after: A connection that has lived this long was no failure.
        stall_after: A connection that owes an answer and says nothing for so long is replaced; 0 turns it off.
        context_limit: A context of so many tokens is rebuilt from the transcript; 0 leaves it to compression.
        patience: How long a rotation that the relay wants by itself waits for an answer to end.
        store_patience: Seconds that the word of a turn's end waits for the store to have it.
        unsaved_turns: Turns that may wait for a store that is away; beyond, the conversation is given back.
        feedback_policy: How advice is delivered and removed where the conversation's agent does not say.
        feedback_signal: Who is believed when it says that the client speaks.
        rebase_tokens: Stale advice of so many tokens is stripped by a rebuild, at the next quiet moment.
        rebase_reserve: With so few tokens left in the context window, any stale advice is.
        rebase_interval: Seconds between two rebuilds that only strip advice.
        history_budget: Tokens of the transcript that a rebuilt session is told, the newest; 0 for all of it.
        cached_price: What a token from Gemini's cache costs, as a share of another one; it decides `auto`.
        compression: Gemini may compress the context.
    """

    goaway_margin: float = 1.0
    goaway_unknown: float = 5.0
    max_age: float = 0.0
    age_patience: float = 60.0
    age_spread: float = 120.0
    grace: float = 30.0
    retry_base: float = 0.25
    retry_cap: float = 8.0
    dials_a_drop: int = 8
    dials_a_life: int = 200
    stable_after: float = 3.0
    stall_after: float = 30.0
    context_limit: int = 0
    patience: float = 30.0
    store_patience: float = 1.0
    unsaved_turns: int = 500
    feedback_policy: FeedbackPolicy = FeedbackPolicy.AUTO
    feedback_signal: FeedbackSignal = FeedbackSignal.LOCAL
    rebase_tokens: int = 4_000
    rebase_reserve: int = 2_000
    rebase_interval: float = 60.0
    history_budget: int = 0
    cached_price: float = 0.25
    compression: bool = True
