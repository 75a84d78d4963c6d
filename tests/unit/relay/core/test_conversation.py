"""A conversation at one relay: how it opens, how its client goes and comes, how it ends and is stored."""

import pytest

from services.relay.core import effects as do
from services.relay.core import events as on
from services.relay.core import notices as tell
from services.relay.core.attachment import Attachment
from services.relay.core.model import START, Continuity, Mark, ToolCall, UpstreamHandle
from services.relay.core.states import Phase
from tests.unit.relay.core.scene import POLICY, RELAY, Scene, opened, resumed

HANDLE, TRANSCRIPT, NONE = Continuity.HANDLE, Continuity.TRANSCRIPT, Continuity.NONE


# Opening.


def test_a_first_client_opens_a_session_of_its_own() -> None:
    """No handle, no history, no wait; and when it is ready the client hears that the session started."""
    scene = Scene()
    assert scene.core.phase is Phase.PARKED
    scene.let(on.ClientJoined(RELAY))
    assert scene.out == [do.OpenUpstream(None, 0, (), 0.0)]
    scene.let(on.UpstreamReady())
    assert scene.out == [do.StartSending(START), do.Welcome(None)]
    assert (scene.core.phase, scene.core.continuity) == (Phase.LIVE, NONE)


def test_a_conversation_that_was_here_before_resumes_from_its_handle() -> None:
    """What the handle does not cover is sent after it; input goes on after what is stored."""
    scene = Scene(resumed(covers=3, turns=5))
    scene.let(on.ClientJoined(RELAY))
    assert opened(scene) == ("old", 0, [4, 5], 0.0)
    scene.let(on.UpstreamReady())
    assert scene.out == [do.StartSending(Mark(0, 50)), do.Welcome(HANDLE)]
    assert scene.core.talk.number == 6


def test_without_a_handle_it_is_rebuilt_from_the_transcript() -> None:
    """All stored turns are history, and the client is told the truth."""
    scene = Scene(Attachment(new=False, turn_count=5, covered_seq=50))
    scene.let(on.ClientJoined(RELAY))
    assert opened(scene) == (None, 5, [], 0.0)
    scene.let(on.UpstreamReady())
    assert scene.one(do.Welcome) == do.Welcome(TRANSCRIPT)
    assert scene.turn().found(do.Checkpoint) == []


def test_without_a_turn_there_is_nothing_to_survive() -> None:
    """Somebody was here before and said nothing: resumed, with continuity none."""
    scene = Scene(Attachment(new=False))
    scene.let(on.ClientJoined(RELAY), on.UpstreamReady())
    assert scene.one(do.Welcome) == do.Welcome(NONE)


def test_how_the_context_survived_is_stored_with_the_next_turn() -> None:
    """Continuity goes to the store; for a conversation that begins there is none to tell."""
    scene = Scene(resumed()).live()
    scene.asks().answers().completes()
    assert scene.one(do.Checkpoint).continuity is HANDLE
    scene = Scene().live()
    scene.asks().answers().completes()
    assert scene.one(do.Checkpoint).continuity is None


def test_the_first_client_leaves_before_the_upstream_is_ready() -> None:
    """The session still starts, for whoever comes back."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY), on.ClientLeft())
    scene.let(on.UpstreamReady())
    assert scene.found(do.Welcome) == []
    scene.let(on.ClientJoined(RELAY))
    assert scene.out == [do.Welcome(None)]


def test_a_client_that_comes_back_to_a_turn_was_there_before() -> None:
    """It had spoken before it was greeted: started would be a lie by then."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY), on.ClientLeft(), on.UpstreamReady())
    scene.turn()
    scene.let(on.ClientJoined(RELAY))
    assert scene.out == [do.Welcome(HANDLE)]


# The client goes and comes.


def test_a_client_that_returns_within_grace_finds_the_same_upstream() -> None:
    """Welcome at once, nothing dialled, whatever was going on goes on."""
    scene = Scene().live().asks().answers()
    scene.let(on.ClientLeft())
    assert scene.out == []
    assert scene.core.deadline == scene.now + POLICY.grace
    assert scene.after(POLICY.grace - 0.1) == []
    assert scene.let(on.ClientJoined(RELAY)) == [do.Welcome(HANDLE)]
    assert scene.core.deadline is None
    scene.completes().stores()
    assert tell.TurnEnded(1, interrupted=False) in scene.told


def test_a_second_client_takes_the_place_of_the_first() -> None:
    """A join without a leave: the newer socket is welcomed."""
    scene = Scene().live()
    assert scene.let(on.ClientJoined(RELAY)) == [do.Welcome(HANDLE)]


def test_a_newcomer_is_told_of_the_call_that_is_pending() -> None:
    """It was told to a socket that is gone; by the same id, and its result counts once."""
    scene = Scene().live().asks().calls("c1", sku="A7")
    wanted = tell.ToolsWanted(1, (ToolCall("c1", "lookup", {"sku": "A7"}),))
    assert scene.told == [wanted]
    scene.let(on.ClientLeft(), on.ClientJoined(RELAY, stranger=True))
    assert scene.out == [do.Welcome(HANDLE), do.Tell(wanted)]
    scene.let(on.ToolResultGiven("c1", {"price": 1}))
    assert scene.out == [do.AnswerTool("c1", "lookup", {"price": 1})]
    assert scene.let(on.ToolResultGiven("c1", {"price": 1})) == []
    scene.let(on.ClientLeft(), on.ClientJoined(RELAY, stranger=True))
    assert scene.out == [do.Welcome(HANDLE)], "nothing is pending any more"


def test_a_client_that_knows_the_call_is_not_told_again() -> None:
    """It is at it already, and would run its tool twice."""
    scene = Scene().live().asks().calls("c1")
    scene.let(on.ClientLeft(), on.ClientJoined(RELAY))
    assert scene.out == [do.Welcome(HANDLE)]


def test_a_newcomer_is_told_of_a_call_whose_connection_is_gone() -> None:
    """The next connection will ask again, and whoever was asked first is not there to answer."""
    scene = Scene().live().turn().gets_handle("h1").asks().calls("c1")
    scene.lost()
    scene.let(on.ClientLeft(), on.ClientJoined(RELAY, stranger=True), on.UpstreamReady())
    assert tell.ToolsWanted(2, (ToolCall("c1", "lookup", {}),)) in scene.told
    scene.calls("c2")
    assert not scene.told, "it is at it already"
    scene.let(on.ToolResultGiven("c1", {"price": 1}))
    assert scene.out == [do.AnswerTool("c2", "lookup", {"price": 1})]
    scene.let(on.ClientJoined(RELAY, stranger=True))
    assert scene.out == [do.Welcome(HANDLE)]


def test_when_grace_is_over_the_conversation_is_given_back() -> None:
    """What is not stored is stored, the upstream closed, the conversation released; then nothing more."""
    scene = Scene().live().turn().asks().answers().completes()
    scene.let(on.ClientLeft())
    scene.after(POLICY.grace)
    assert scene.kinds == [tell.TurnEnded, do.Checkpoint, do.StopSending, do.CloseUpstream, do.Release, do.Stop]
    assert [turn.number for turn in scene.one(do.Checkpoint).turns] == [2]
    assert scene.core.phase is Phase.OVER
    assert scene.core.deadline is None


def test_nobody_ever_comes() -> None:
    """An attached conversation whose client is gone before it joined does not stay for ever."""
    scene = Scene()
    assert scene.core.deadline == scene.now + POLICY.grace
    scene.after(POLICY.grace)
    assert scene.kinds == [do.Release, do.Stop]


def test_grace_is_over_while_it_is_dialled() -> None:
    """The dial is dropped with the rest: there is nothing to close."""
    scene = Scene()
    scene.let(on.ClientJoined(RELAY), on.ClientLeft())
    scene.after(POLICY.grace)
    assert scene.kinds == [do.Release, do.Stop]


# The end.


def in_phase(phase: Phase) -> Scene:
    """A conversation that stands in this phase, with a turn that is not stored."""
    scene = Scene()
    if phase is Phase.PARKED:
        return scene
    if phase is Phase.OPENING:
        scene.let(on.ClientJoined(RELAY))
        return scene
    scene.live().asks().answers().completes()
    if phase is Phase.CLOSING:
        scene.let(on.GoAway(0.0))
    assert scene.core.phase is phase
    return scene


PHASES = [Phase.PARKED, Phase.OPENING, Phase.LIVE, Phase.CLOSING]


@pytest.mark.parametrize("phase", PHASES)
def test_the_end_is_asked_for(phase: Phase) -> None:
    """The client is told, the store ends it for good, an upstream is closed, the last turn is stored first."""
    scene = in_phase(phase)
    scene.let(on.EndAsked("done"))
    connected = phase in (Phase.LIVE, Phase.CLOSING)
    assert scene.kinds == [
        *([tell.TurnEnded, do.Checkpoint, do.StopSending, do.CloseUpstream] if connected else []),
        tell.ConversationOver,
        do.EndConversation,
        do.CloseClient,
        do.Stop,
    ]
    assert scene.one(do.EndConversation).reason == "done"
    assert scene.one(do.CloseClient).why is do.Farewell.OVER


@pytest.mark.parametrize("phase", PHASES)
def test_another_relay_has_it(phase: Phase) -> None:
    """Fenced: nothing is written any more, not even what is not stored."""
    scene = in_phase(phase)
    scene.let(on.Fenced())
    connected = phase in (Phase.LIVE, Phase.CLOSING)
    assert scene.kinds == [*([do.StopSending, do.CloseUpstream] if connected else []), do.CloseClient, do.Stop]
    assert scene.one(do.CloseClient).why is do.Farewell.REPLACED


@pytest.mark.parametrize("phase", PHASES)
def test_this_relay_goes_away(phase: Phase) -> None:
    """Drained: stored, released, and the client sent elsewhere."""
    scene = in_phase(phase)
    scene.let(on.DrainAsked())
    connected = phase in (Phase.LIVE, Phase.CLOSING)
    assert scene.kinds == [
        tell.Expiring,
        *([tell.TurnEnded, do.Checkpoint, do.StopSending, do.CloseUpstream] if connected else []),
        do.Release,
        do.CloseClient,
        do.Stop,
    ]
    assert scene.one(do.CloseClient).why is do.Farewell.DRAIN


def test_a_drained_client_gets_its_handle_again() -> None:
    """With it the next relay goes on."""
    scene = Scene().live().turn().gets_handle("h1")
    scene.let(on.DrainAsked())
    assert scene.told == [tell.HandleRenewed("rh-h1", "later"), tell.Expiring(0.0, has_handle=True, reason="drain")]


@pytest.mark.parametrize("event", [on.EndAsked("done"), on.DrainAsked()])
def test_a_whole_answer_is_stored_at_the_end(event: on.Event) -> None:
    """The client has heard it: it belongs to the transcript, and nobody answers it again who finds it there."""
    scene = Scene().live().asks().answers()
    scene.let(on.GenerationCompleted(), event)
    assert [turn.number for turn in scene.one(do.Checkpoint).turns] == [1]
    assert tell.TurnEnded(1, interrupted=False, stored=False) in scene.told


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_comes_after_the_end(phase: Phase) -> None:
    """Whatever happens to a conversation that is over here has no effect."""
    scene = in_phase(phase)
    scene.let(on.Fenced())
    for event in (
        on.ClientJoined(RELAY),
        on.ClientLeft(),
        on.UpstreamReady(),
        on.UpstreamClosed(1006, ""),
        on.TurnCompleted(START),
        on.CheckpointStored(1, 1),
        on.EndAsked("again"),
        on.Tick(),
    ):
        assert scene.let(event) == []
    assert scene.core.phase is Phase.OVER


# The store.


def test_nothing_is_covered_or_complete_before_it_is_stored() -> None:
    """The store may be away for long: turns gather, and the client keeps its input."""
    scene = Scene().live().asks().answers().completes()
    checkpoint = scene.one(do.Checkpoint)
    scene.asks().answers().completes()
    assert scene.found(do.Checkpoint) == []
    assert scene.core.coverage.covered_seq == 0
    scene.let(on.CheckpointStored(checkpoint.turns[-1].covered_seq, 1))
    assert scene.told == [tell.TurnEnded(1, interrupted=False), tell.InputCovered(10, 1)]
    assert [turn.number for turn in scene.one(do.Checkpoint).turns] == [2]


def test_a_handle_alone_is_stored() -> None:
    """The first one comes right after the setup."""
    scene = Scene().live()
    scene.let(on.HandleUpdated("h0"))
    assert scene.out == [do.Checkpoint((), UpstreamHandle("h0", 0), scene.core.coverage.ledger, None)]
    scene.stores("rh0")
    assert scene.told == [tell.HandleRenewed("rh0", "later")]


def test_the_first_handle_of_a_resumed_connection_does_not_hold_the_content() -> None:
    """Lost before a turn: the turns that were sent as content are sent again, since no handle has them."""
    scene = Scene(resumed(covers=3, turns=5)).live()
    scene.gets_handle("new")
    scene.lost()
    assert opened(scene) == ("new", 0, [4, 5], 0.25)


def test_the_first_handle_of_a_rebuilt_session_is_not_used() -> None:
    """Lost before a turn: the transcript is told again, rather than a handle of an empty session resumed."""
    scene = Scene(Attachment(new=False, turn_count=5, covered_seq=50)).live()
    scene.let(on.HandleUpdated("empty"))
    assert scene.out == []
    scene.lost()
    assert opened(scene) == (None, 5, [], 0.25)


def test_an_unknown_event_raises() -> None:
    """Nothing is dropped by falling through."""
    scene = Scene()
    with pytest.raises(KeyError):
        scene.let("nonsense")  # type: ignore[arg-type]
