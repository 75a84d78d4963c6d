"""Chromium, driven by playwright, with a microphone that plays a file."""

import math
import shutil
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
"""Installed by `make test` where it is missing (tools/debian.sh)."""
MICROPHONE_RATE = 48_000
SPEECH_SECONDS = 1.2
PAUSE_SECONDS = 1.3
_PITCH = 150
_QUIETLY = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--mute-audio")


def speech(rate: int, seconds: float) -> bytes:
    """Something like a voice: a hum with overtones, in syllables."""
    samples = (
        int(
            9_000
            * (0.6 + 0.4 * math.sin(math.tau * 4 * at / rate))
            * sum(math.sin(math.tau * _PITCH * n * at / rate) / n for n in (1, 2, 3, 5))
            / 2
        )
        for at in range(int(rate * seconds))
    )
    return b"".join(struct.pack("<h", sample) for sample in samples)


def write_microphone(path: Path) -> Path:
    """What the microphone hears, over and over: an utterance and a pause."""
    with wave.open(str(path), "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(MICROPHONE_RATE)
        recording.writeframes(speech(MICROPHONE_RATE, SPEECH_SECONDS) + bytes(int(MICROPHONE_RATE * PAUSE_SECONDS) * 2))
    return path


@asynccontextmanager
async def chromium(microphone: Path) -> AsyncIterator[Browser]:
    """A browser while the context is open; every context of it is a fresh profile."""
    listening = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
    )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*_QUIETLY, *listening])
        try:
            yield browser
        finally:
            await browser.close()
