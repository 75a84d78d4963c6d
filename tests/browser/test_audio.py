"""Audio in the browser: the microphone gives what was said, and what is not to be heard falls silent at once."""

import math
import struct
from itertools import pairwise
from typing import Any

import pytest
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="session")

CAPTURE = """
async ([base, rate, hertz]) => {
  const context = new OfflineAudioContext(1, rate, rate);
  await context.audioWorklet.addModule(base + "/capture-worklet.js");
  const node = new AudioWorkletNode(context, "filo-capture", { numberOfOutputs: 0 });
  const frames = [];
  node.port.onmessage = ({ data }) => frames.push([...data.pcm]);
  const tone = new OscillatorNode(context, { frequency: hertz });
  tone.connect(new GainNode(context, { gain: 0.5 })).connect(node);
  tone.start();
  await context.startRendering();
  while (frames.length < 49) await new Promise((resolve) => setTimeout(resolve, 10)); // they come in their own time
  return frames;
}
"""

PLAY = """
async ([base, samples, flushAt]) => {
  const context = new OfflineAudioContext(1, 24000, 24000);
  await context.audioWorklet.addModule(base + "/playback-worklet.js");
  const node = new AudioWorkletNode(context, "filo-playback", { numberOfInputs: 0, outputChannelCount: [1] });
  node.connect(context.destination);
  for (let at = 0; at < samples.length; at += 700) {
    node.port.postMessage({ pcm: Int16Array.from(samples.slice(at, at + 700)) });
  }
  // The audio thread reads in its own time, and does not say when.
  const heard = () => new Promise((resolve) => setTimeout(resolve, 300));
  context.suspend(0).then(heard).then(() => context.resume());
  if (flushAt) {
    const flush = () => node.port.postMessage({ flush: true });
    context.suspend(flushAt).then(flush).then(heard).then(() => context.resume());
  }
  const rendered = await context.startRendering();
  return [...rendered.getChannelData(0)];
}
"""


def tone(hertz: float, rate: int, count: int, volume: int = 12_000) -> list[int]:
    """Samples of a tone."""
    return [round(volume * math.sin(math.tau * hertz * at / rate)) for at in range(count)]


def loudness(samples: list[float]) -> float:
    """Root of the mean square."""
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))


def crossings(samples: list[Any]) -> int:
    """How often a signal rises through zero: its periods."""
    return sum(before < 0 <= after for before, after in pairwise(samples))


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
async def test_a_tone_comes_out_at_16_khz(page: Page, files: str, rate: int) -> None:
    """Frames of 320 samples, 50 a second, the same pitch and the same loudness, whatever the sound card's rate."""
    await page.goto(f"{files}/tables.js")
    frames = await page.evaluate(CAPTURE, [files, rate, 1000])
    assert {len(frame) for frame in frames} == {320}
    assert len(frames) in {49, 50}
    heard = [sample for frame in frames[2:] for sample in frame]
    assert crossings(heard) == pytest.approx(1000 * len(heard) / 16_000, abs=2)
    assert loudness(heard) == pytest.approx(0.5 * 32_767 / math.sqrt(2), rel=0.03)
    purest = [
        sum(sample * wave(math.tau * 1000 * at / 16_000) for at, sample in enumerate(heard)) * 2 / len(heard)
        for wave in (math.sin, math.cos)
    ]
    noise = loudness(heard) ** 2 - (purest[0] ** 2 + purest[1] ** 2) / 2
    assert 10 * math.log10(loudness(heard) ** 2 / max(noise, 1)) > 40, "decibels of signal to noise"


async def test_what_16_khz_cannot_hold_does_not_come_back_as_noise(page: Page, files: str) -> None:
    """A tone of 11 kHz would fold to 5 kHz: it is quieter by 40 decibels."""
    await page.goto(f"{files}/tables.js")
    frames = await page.evaluate(CAPTURE, [files, 48_000, 11_000])
    heard = [sample for frame in frames[2:] for sample in frame]
    assert loudness(heard) < 0.5 * 32_767 / math.sqrt(2) / 100


async def test_what_is_played_is_what_came(page: Page, files: str) -> None:
    """Sample by sample, however it was cut into pieces; silence after it."""
    await page.goto(f"{files}/tables.js")
    samples = tone(440, 24_000, 12_000)
    played = await page.evaluate(PLAY, [files, samples, 0])
    begin = next(at for at, sample in enumerate(played) if sample) - 1  # the tone's first sample is zero
    assert [round(sample * 32_768) for sample in played[begin : begin + len(samples)]] == samples
    assert not any(played[begin + len(samples) :])


async def test_a_flush_is_silence_at_once(page: Page, files: str) -> None:
    """The user speaks into the answer: after a fade of 10 ms nothing of it is heard, and nothing clicks."""
    await page.goto(f"{files}/tables.js")
    samples = tone(440, 24_000, 20_000)
    block = 128 / 24_000
    at = 40 * block
    played = await page.evaluate(PLAY, [files, samples, at])
    flushed = round(at * 24_000)
    assert loudness(played[flushed - 2400 : flushed]) > 0.2
    assert not any(played[flushed + 240 + 128 :])
    steps = [abs(after - before) for before, after in pairwise(played)]
    assert max(steps) < 2 * math.tau * 440 / 24_000 * 12_000 / 32_768


async def test_a_speaker_knows_when_to_be_silent(page: Page, files: str) -> None:
    """It takes events: an interruption, a restart or another relay empties it; a return to the same relay does not.

    Nor does anything that is no interruption take away an answer that is whole, unless it comes again.
    """
    await page.goto(f"{files}/tables.js")
    piece = struct.pack("<24000h", *tone(300, 24_000, 24_000)).hex()
    waiting = await page.evaluate(
        """
        async ([base, hex]) => {
          const { Speaker } = await import(base + "/filo-client.js");
          const speaker = await Speaker.open();
          const pcm = () => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16)).buffer;
          const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
          const until = async (reached) => {
            while (!reached()) await pause();
          };
          const seconds = [];
          speaker.take({ type: "session:started", epoch: 1 });
          const whole = { type: "turn:complete", turn: 3 };
          for (const [events, left] of [
            [[{ type: "interrupted" }], 0],
            [[{ type: "turn:restarted" }], 0],
            [[{ type: "session:resumed", epoch: 2, turn: 2 }], 0],
            [[whole, { type: "interrupted" }], 0],
            [[whole, { type: "session:resumed", epoch: 3, turn: 2 }], 0],
            [[{ type: "session:resumed", epoch: 3, turn: 2 }], 7.5],
            [[whole, { type: "turn:restarted" }], 7.5],
            [[whole, { type: "session:resumed", epoch: 4, turn: 3 }, { type: "turn:missed" }], 7.5],
          ]) {
            speaker.flush();
            for (let at = 0; at < 8; at++) speaker.take({ type: "audio", pcm: pcm() });
            await until(() => speaker.seconds > 3);
            for (const event of events) speaker.take(event);
            await until(() => speaker.seconds <= left);
            seconds.push(speaker.seconds);
          }
          await speaker.close();
          return seconds;
        }
        """,
        [files, piece],
    )
    assert waiting[:5] == [0, 0, 0, 0, 0]
    assert min(waiting[5:]) > 0, "it plays on"
