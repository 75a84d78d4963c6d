"""A context is a value: changes make new ones, and compression drops what it may, no more."""

from hypothesis import given
from hypothesis import strategies as st

from services.emulator.context import TEXTS, Context, Gone, Kind, Role, Turn, compress, text_turn
from services.emulator.tokens import NONE, Tokens, of_audio, of_text

TURNS = st.lists(
    st.builds(text_turn, st.sampled_from(Role), st.text("abc ", min_size=1, max_size=80)), min_size=1, max_size=12
)


def test_a_snapshot_does_not_change() -> None:
    """Whoever holds a context keeps what it was."""
    snapshot = Context("Be kind.", (text_turn(Role.USER, "One."),))
    later = snapshot.plus(text_turn(Role.MODEL, "Two."))
    assert len(snapshot.turns) == 1
    assert later.turns[0] is snapshot.turns[0]
    assert (snapshot.answered, later.answered) == (False, True)


def test_tokens_by_modality() -> None:
    """Text at four characters a token, rounded up; audio at 25 a second, rounded; nothing costs nothing."""
    assert (of_text("12345"), of_text("")) == (Tokens(text=2), NONE)
    assert of_audio(1.01) == Tokens(audio=25)
    assert (Tokens(1, 2, 3) + Tokens(10, 20, 30)).total == 66
    assert Context("x" * 40, (text_turn(Role.USER, "y" * 8),)).tokens == Tokens(text=12)


@given(history=TURNS, turns=TURNS, target=st.integers(0, 200))
def test_compression(history: list[object], turns: list[object], target: int) -> None:
    """Instruction and history stay; the rest loses its oldest turns, goes on at a user turn and fits if it can."""
    seeded = Context("Be kind.").seeded(*history)  # type: ignore[arg-type] # a strategy of turns
    full = seeded.plus(*turns)  # type: ignore[arg-type] # the same
    small = compress(full, target)
    assert (small.instruction, small.turns[: small.prefix]) == ("Be kind.", tuple(history))
    kept = small.turns[small.prefix :]
    assert kept == tuple(turns)[len(turns) - len(kept) :]
    assert small.compressed == len(turns) - len(kept)
    users = [at for at, turn in enumerate(full.turns) if at >= full.prefix and turn.role is Role.USER]
    if users:
        assert kept[0].role is Role.USER
        assert small.tokens.total <= target or len(full.turns) - len(kept) == users[-1]
    else:
        assert len(kept) == len(turns)


def test_compression_drops_no_more_than_it_must() -> None:
    """What fits the target stays."""
    context = Context(turns=tuple(text_turn(role, "x" * 40) for role in (Role.USER, Role.MODEL) * 4))
    assert compress(context, 80) is not None
    assert compress(context, 80).turns == context.turns
    assert compress(context, 79).turns == context.turns[2:]


def test_compression_remembers_what_it_dropped_of_the_user() -> None:
    """Frames by voice, texts, the newest of them; over several compressions, and of nobody else."""
    said = [Turn(Role.USER, Kind.AUDIO, "Hi.", of_audio(1), 7, (at,), ((10 * at, 10 * at + 9),)) for at in range(4)]
    turns = [said[0], text_turn(Role.MODEL, "Ho."), text_turn(Role.USER, "So."), *said[1:]]
    once = compress(Context(turns=tuple(turns)), of_audio(3).total)
    assert (once.compressed, once.gone) == (3, Gone(((7, ((0, 9),)),), ("So.",)))
    twice = compress(once, of_audio(1).total)
    assert (twice.compressed, twice.gone) == (5, Gone(((7, ((0, 29),)),), ("So.",)))
    assert (twice.gone.of(7), twice.gone.of(8)) == (((0, 29),), ())
    many = Gone().plus(text_turn(Role.USER, str(at)) for at in range(TEXTS + 5))
    assert (many.texts[0], len(many.texts)) == ("5", TEXTS)


def test_other_tools_make_the_whole_prompt_dear() -> None:
    """A prefix cache begins with the instruction and the tools: where either changes nothing of the rest is cheap."""
    earlier = Context("Be brief.", (text_turn(Role.USER, "Hello there."),), tools='[{"a": 1}]')
    now = earlier.plus(text_turn(Role.MODEL, "Hello."))
    assert now.beginning(earlier) == earlier.tokens
    assert now.equipped('[{"b": 2}]').beginning(earlier).total == 0
    assert now.instructed("Be kind.").beginning(earlier).total == 0
