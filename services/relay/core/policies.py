"""The policies: how advice is brought to the agent and taken away again, and which of them is chosen for an item."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from services.relay.core.capabilities import Capability
from services.relay.core.model import FeedbackPolicy, Policy


@dataclass(frozen=True, slots=True)
class Rule:
    """What a policy does.

    Args:
        at_once: It does not wait until the client speaks.
        in_instruction: Advice lives in the system instruction, and is taken out of it after the answer.
        rebuilds: Stale advice is stripped by rebuilding the session.
    """

    at_once: bool = False
    in_instruction: bool = False
    rebuilds: bool = False


RULES: Final[Mapping[FeedbackPolicy, Rule]] = MappingProxyType(
    {
        FeedbackPolicy.APPEND: Rule(at_once=True),
        FeedbackPolicy.JUST_IN_TIME: Rule(),
        FeedbackPolicy.REPLACE: Rule(in_instruction=True),
        FeedbackPolicy.REBASE: Rule(rebuilds=True),
    }
)
"""Every policy but `auto`, which chooses among them."""


def chosen(wish: FeedbackPolicy, capability: Capability, context: int, policy: Policy) -> FeedbackPolicy:
    """The policy for the next item.

    Args:
        wish: The conversation's, or the setting.
        capability: What the model allows; where it cannot replace an instruction, the session is rebuilt instead.
        context: How large the context is, in tokens.
        policy: The settings.
    """
    if wish is FeedbackPolicy.AUTO:
        wish = FeedbackPolicy.REPLACE if replacing_is_cheaper(context, policy) else FeedbackPolicy.REBASE
    if wish is FeedbackPolicy.REPLACE and capability.instruction is None:
        return FeedbackPolicy.REBASE
    return wish


ADVICE_TOKENS: Final = 400
"""What an item is taken to cost where policies are compared."""


def replacing_is_cheaper(context: int, policy: Policy) -> bool:
    """Whether an item costs less in the instruction than in the talk, in tokens at the full price.

    In the instruction it makes the whole prompt after it uncached, once. In the talk it stays for a while: on average
    half the threshold of stale tokens rides along in each prompt, cached; and once a threshold is full, the rebuilt
    session is uncached as a whole.

    Args:
        context: Tokens of the context.
        policy: The settings: the threshold, and the price of a cached token.
    """
    discount = 1.0 - policy.cached_price
    threshold = max(policy.rebase_tokens, ADVICE_TOKENS)
    replaced = discount * context
    rebuilt = policy.cached_price * threshold / 2 + discount * context * ADVICE_TOKENS / threshold
    return replaced <= rebuilt
