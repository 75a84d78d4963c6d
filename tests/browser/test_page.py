"""The page in Chromium before a real relay: it loses its network, its relay, itself, and comes back each time."""

import pytest
from playwright.async_api import expect

from services.emulator.faults import GoAwayFault, Moment
from tests.browser.stage import GREETING, PATIENCE, Talker
from tests.support.client import Speaker

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

FACT = "My company is Brightwater."
QUESTION = "What is my company?"


async def test_it_talks(at: Talker) -> None:
    """Typed turns, their answers, and what the page counts."""
    await at.open()
    await at.write(FACT)
    await at.turns(1)
    await at.write(QUESTION)
    await at.turns(2)
    (first, answer), (second, recalled) = await at.transcript()
    assert (first, second) == (FACT, QUESTION)
    assert answer.startswith(GREETING)
    assert "Brightwater" in recalled
    await expect(at.page.locator("[data-of=turns]")).to_have_text("2")
    await expect(at.page.locator("[data-of=kept]")).to_have_text("0")
    await at.page.click("#end")
    await expect(at.page.locator("#state")).to_have_text("Ended")


async def test_it_loses_its_network(at: Talker) -> None:
    """Silence on the wire and an offline browser in mid-speech; the rest is said into the void, and arrives."""
    speaker = Speaker(21)
    await at.open()
    await at.speak(speaker.say(FACT))
    await at.turns(1)
    frames = speaker.say(QUESTION)
    await at.speak(frames[:15])
    at.stage.proxy.freeze()
    await at.page.context.set_offline(True)
    await at.speak(frames[15:])
    await expect(at.page.locator("#state")).to_have_text("Offline", timeout=PATIENCE * 1000)
    at.stage.proxy.thaw()
    await at.page.context.set_offline(False)
    await at.turns(2)
    await at.whole(speaker)
    await expect(at.page.locator("[data-of=returns]")).to_have_text("1")


async def test_it_loses_its_relay(at: Talker) -> None:
    """Killed in an answer, and again in mid-speech: another one on the same port goes on with what the store has."""
    speaker = Speaker(22)
    await at.open()
    await at.speak(speaker.say(FACT))
    await at.turns(1)
    await at.speak(speaker.say("My deadline is the third of March."))
    await at.sees("[data-turn='2'] .agent")
    await at.stage.relay.kill()
    await at.sees("#state[data-phase=waiting]")
    await at.stage.relay.start()
    await at.turns(2)
    frames = speaker.say(QUESTION)
    await at.speak(frames[:15])
    await at.stage.relay.kill()
    await at.speak(frames[15:])
    await at.sees("#state[data-phase=waiting]")
    await at.stage.relay.start()
    await at.turns(3)
    assert "Brightwater" in (await at.transcript())[2][1]
    await at.whole(speaker)


async def test_it_loses_itself(at: Talker) -> None:
    """A reload goes on with the same conversation, and shows all of it."""
    await at.open()
    await at.write(FACT)
    await at.turns(1)
    before = await at.transcript()
    await at.page.reload()
    await at.live()
    assert await at.transcript() == before
    await at.write(QUESTION)
    await at.turns(2)
    assert "Brightwater" in (await at.transcript())[1][1]


async def test_a_refused_token_is_replaced(at: Talker) -> None:
    """The page asks its backend for another one, which is for the same conversation."""
    await at.open()
    await at.write(FACT)
    await at.turns(1)
    await at.page.evaluate(
        "const kept = JSON.parse(sessionStorage['filo-demo']); kept.saved.standing.token = 'old';"
        "addEventListener('pagehide', () => (sessionStorage['filo-demo'] = JSON.stringify(kept)))"
    )
    await at.page.reload()
    await at.live()
    await at.write(QUESTION)
    await at.turns(2)
    assert "Brightwater" in (await at.transcript())[1][1]


async def test_the_microphone_is_heard(at: Talker) -> None:
    """Chromium's fake microphone at 48 kHz: what arrives is speech, ends in a pause, and is answered in voice."""
    await at.open()
    await at.page.click("#microphone")
    await at.turns(1)
    said, answer = (await at.transcript())[0]
    assert said
    assert answer.startswith(GREETING)
    await at.page.click("#microphone")
    await expect(at.page.locator("#microphone")).to_have_attribute("aria-pressed", "false")


async def test_rotations_are_knots_on_the_thread(at: Talker) -> None:
    """A connection to Gemini that ends is replaced unnoticed; the page tells of it and loses nothing."""
    speaker = Speaker(23)
    at.stage.emulator.faults.add([GoAwayFault(when=Moment.ANSWER, voice=23, times=2, time_left=20.0, ends_in=20.0)])
    await at.open()
    for number in (1, 2, 3):
        await at.speak(speaker.say(f"My number {number} is {number * 7}."))
        await at.turns(number)
    await expect(at.page.locator("[data-of=rotations]")).to_have_text("2", timeout=PATIENCE * 1000)
    assert "New connection to Gemini" in await at.page.locator("#thread .knot").first.inner_text()
    await at.whole(speaker)
