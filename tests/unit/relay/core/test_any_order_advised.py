"""Advice reaches the agent once, in its turn, and is gone when it is said to be, in any order of events."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from services.relay.core.capabilities import Channel
from services.relay.core.model import FeedbackPolicy, RotationMode
from tests.unit.relay.core.advised import AdvisedWorld
from tests.unit.relay.core.test_any_order import AnyOrder


class AdvisedInAnyOrder(AnyOrder):
    """All that can happen without advice, and advice in between; `AdvisedWorld` complains about what must not be."""

    world: AdvisedWorld

    def __init__(self) -> None:
        super().__init__()
        self.world = AdvisedWorld()

    @initialize(
        mode=st.sampled_from(RotationMode),
        wish=st.sampled_from(FeedbackPolicy),
        tokens=st.sampled_from([1, 20, 4000]),
        channel=st.sampled_from([Channel.CONTEXT_UPDATE, Channel.SYSTEM_ROLE]),
    )
    def it_begins(self, mode: RotationMode, wish: FeedbackPolicy, tokens: int, channel: Channel) -> None:
        """A client comes, and Gemini is ready."""
        self.world.with_policy(wish, tokens, channel)
        super().it_begins(mode)

    @precondition(lambda self: not self.world.ended)
    @rule(told=st.booleans(), seconds=st.sampled_from([None, None, 3.0]), speaking=st.booleans())
    def the_platform_advises(self, told: bool, seconds: float | None, speaking: bool) -> None:  # noqa: FBT001
        """At any moment; perhaps this relay hears of it only at the next attach."""
        self.world.give(told=told, seconds=seconds, speaking=speaking)

    @rule()
    def the_platform_repeats_itself(self) -> None:
        """The same item again."""
        self.world.tell_again()

    @precondition(lambda self: self.world.present)
    @rule(inputs=st.integers(1, 5), begins=st.booleans())
    def client_speaks(self, inputs: int, begins: bool) -> None:  # noqa: FBT001
        """Frames of audio; where Gemini has heard some that it has not answered, they go on from there."""
        super().client_speaks(inputs, begins and not (self.live and self.live.heard))

    @precondition(lambda self: self.world.present and self.live and self.world.sending and not self.live.heard)
    @precondition(lambda self: self.live is not None and self.live.answering is None)
    @rule(inputs=st.integers(1, 4), handle=st.booleans(), advice=st.booleans(), stored=st.booleans())
    def an_advised_turn_happens(self, inputs: int, handle: bool, advice: bool, stored: bool) -> None:  # noqa: FBT001
        """Advice comes, the client speaks, the agent answers."""
        world = self.world
        if advice:
            world.give(told=True, seconds=None, speaking=False)
        world.begins_to_speak(inputs)
        if not world.sending:  # a replacement that was due has found its moment
            return
        world.feed(inputs)
        self.gemini_transcribes()
        self.gemini_answers(words=True)
        self.gemini_has_said_all()
        self.gemini_completes_the_turn()
        if handle and self.live and not self.live.closing:
            world.issue_handle()
        while stored and world.writes:
            world.store_one()


AdvisedInAnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestAdvisedInAnyOrder = AdvisedInAnyOrder.TestCase
del AnyOrder
