"""The ledger on the wire and in the core: one's values as the other's."""

from filo.handles.v1 import resources_pb2 as resources
from services.relay.core.ledger import Breakdown, Ledger
from services.relay.core.model import Usage


def ledger(message: resources.Ledger) -> Ledger:
    """The stored ledger as the core has it."""
    estimated = message.estimated_tokens_by_category
    estimate = Breakdown().with_categories(estimated)
    return Ledger(
        held=Breakdown(
            instruction=message.instruction_tokens,
            user=message.user_tokens,
            model=message.model_tokens,
            feedback_live=message.feedback_live_tokens,
            feedback_stale=message.feedback_stale_tokens,
            tools=message.tool_tokens,
        ),
        estimate=estimate,
        usage=_usage(message),
        cached=message.billed_cached_tokens,
        uncached=message.billed_uncached_tokens,
        responses=message.billed_response_tokens,
        expected=message.estimated_prompt_tokens,
        given=message.saved_context_tokens + estimate.feedback_live + estimate.feedback_stale,
        saved=message.saved_billed_tokens,
        rebases=message.rebase_count,
        unverified=message.unverified_removal_count,
        compressions=message.compression_count,
    )


def _usage(message: resources.Ledger) -> Usage | None:
    if not message.prompt_tokens:
        return None
    return Usage(
        prompt=message.prompt_tokens,
        response=message.context_tokens - message.prompt_tokens,
        by_modality=dict(message.prompt_tokens_by_modality),
        answer_by_modality=dict(message.response_tokens_by_modality),
    )


def ledger_message(ledger: Ledger) -> resources.Ledger:
    """The core's ledger as the contract has it."""
    held, usage = ledger.held, ledger.usage
    return resources.Ledger(
        context_tokens=ledger.context,
        billed_tokens=ledger.billed,
        instruction_tokens=held.instruction,
        user_tokens=held.user,
        model_tokens=held.model,
        feedback_live_tokens=held.feedback_live,
        feedback_stale_tokens=held.feedback_stale,
        tool_tokens=held.tools,
        prompt_tokens=usage.prompt if usage else 0,
        prompt_tokens_by_modality=usage.by_modality if usage else {},
        response_tokens_by_modality=usage.answer_by_modality if usage else {},
        billed_cached_tokens=ledger.cached,
        billed_uncached_tokens=ledger.uncached,
        billed_response_tokens=ledger.responses,
        saved_context_tokens=ledger.smaller_by,
        saved_billed_tokens=ledger.saved,
        estimated_prompt_tokens=ledger.expected,
        estimated_tokens_by_category={
            name.value: count for name, count in ledger.estimate.by_category.items() if count
        },
        rebase_count=ledger.rebases,
        unverified_removal_count=ledger.unverified,
        compression_count=ledger.compressions,
    )
