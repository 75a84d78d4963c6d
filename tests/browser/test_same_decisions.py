"""Both reference clients decide alike: random scripts, played to the Python session and to the browser's."""

import json
import random
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields, is_dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Page

from filo.client import Audio, Credentials, Dialogue, Event, Phase, Policy, Session
from filo.client.close_codes import CLOSE_CODES
from filo.client.messages import Message
from filo.client.wire import wire_name

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPTS = 100
STEPS = 80
CAPACITY = 12
Step = list[Any]

PLAYER = """
async ([base, scripts, capacity]) => {
  const { Session, Dialogue } = await import(base + "/filo-client.js");
  const decode = (payload) => (typeof payload === "string" ? payload : "audio:" + new TextDecoder().decode(payload));
  const bytes = (text) => new TextEncoder().encode(text);
  const shown = (event) => (event.type === "audio" ? { type: "audio", pcm: decode(event.pcm) } : event);
  return scripts.map((steps) => {
    const credentials = { url: "ws://relay/ws?mode=a", sessionToken: "t0", shareToken: "s", renewable: true };
    const session = new Session(credentials, {}, () => 0.5, capacity);
    const dialogue = new Dialogue();
    const act = {
      audio: (text) => session.audio(bytes(text)),
      text: (text) => session.text(text),
      connect: (now) => Object.fromEntries(new URL(session.connect(now)).searchParams),
      opened: (now) => session.opened(now),
      renewed: (token) => session.renewed(token),
      take: (count) => Array.from({ length: count }, () => session.take()).map((sent) => sent && decode(sent)),
      received: (text, now) => session.received(text, now),
      voice: (text, now) => session.received(bytes(text), now),
      closed: (code, now) => session.closed(code, "", now),
      timeout: (now) => session.timeout(now),
      network: (online, now) => session.network(online, now),
      end: (reason) => session.end(reason) ?? null,
    };
    return steps.map(([name, ...given]) => {
      let result = act[name](...given);
      if (Array.isArray(result) && name !== "take") {
        for (const event of result) dialogue.take(event);
        result = result.map(shown);
      }
      const { size, covered, givenUp, next } = session.outbox;
      const { phase, deadline, leaving, wantsToken, duplicates, expiring } = session;
      const stands = { phase, deadline, leaving, wantsToken, duplicates, expiring, size, covered, givenUp, next };
      return { result, stands, turns: structuredClone(dialogue.turns) };
    });
  });
}
"""


def plain(value: object) -> object:
    """An event of the Python client as the browser has it."""
    if isinstance(value, Audio):
        return {"type": "audio", "pcm": f"audio:{value.pcm.decode()}"}
    if isinstance(value, Message):
        return {"type": value.TYPE, "epoch": value.epoch, "n": value.n}
    if is_dataclass(value):
        name = type(value).__name__
        kind = {"AttemptFailed": "attempt_failed"}.get(name, name.lower())
        return {"type": kind} | {wire_name(part.name): getattr(value, part.name) for part in fields(value)}
    return value


def _query(url: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}


def _readable(sent: str | bytes | None) -> str | None:
    return f"audio:{sent.decode()}" if isinstance(sent, bytes) else sent


class Player:
    """Plays a script to the Python session, and makes one up as it goes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        credentials = Credentials(url="ws://relay/ws?mode=a", session_token="t0", share_token="s", renewable=True)
        self.session = Session(credentials, Policy(), lambda: 0.5, CAPACITY)
        self.dialogue = Dialogue()
        self.now = 0.0
        self.epoch = self.n = 0
        self.turn = 0
        self.steps: list[Step] = []
        self.trace: list[dict[str, Any]] = []

    def play(self, step: Step) -> None:
        """Do one thing, and note what came of it."""
        result = self._act(*step)
        self.steps.append(step)
        session, outbox = self.session, self.session.outbox
        stands = {
            "phase": session.phase.value,
            "deadline": session.deadline,
            "leaving": session.leaving,
            "wantsToken": session.wants_token,
            "duplicates": session.duplicates,
            "expiring": session.expiring,
            "size": len(outbox),
            "covered": outbox.covered,
            "givenUp": outbox.given_up,
            "next": outbox.next,
        }
        turns = [{wire_name(name): value for name, value in asdict(turn).items()} for turn in self.dialogue.turns]
        self.trace.append({"result": result, "stands": stands, "turns": turns})

    def _act(self, name: str, *given: Any) -> object:  # noqa: ANN401 - as the script has it
        session = self.session
        acts: dict[str, Callable[..., object]] = {
            "audio": lambda text: session.audio(text.encode()),
            "text": session.text,
            "connect": lambda now: _query(session.connect(now)),
            "renewed": session.renewed,
            "take": lambda count: [_readable(session.take()) for _ in range(count)],
            "end": session.end,
            "opened": lambda now: self._told(session.opened(now)),
            "received": lambda text, now: self._told(session.received(text, now)),
            "voice": lambda text, now: self._told(session.received(text.encode(), now)),
            "closed": lambda code, now: self._told(session.closed(code, "", now)),
            "timeout": lambda now: self._told(session.timeout(now)),
            "network": lambda online, now: self._told(session.network(online=online, now=now)),
        }
        return acts[name](*given)

    def _told(self, events: Iterable[Event]) -> list[object]:
        for event in events:
            self.dialogue.take(event)
        return [plain(event) for event in events]

    def invent(self) -> Step:
        """Something that a driver may do in this phase."""
        self.now += self.random.choice((0.25, 1.0, 4.0, 16.0))
        phase, chance = self.session.phase, self.random.random()
        if chance < 0.2:
            return self.random.choice((["audio", self.random.choice(("a", "bcd", "efghij"))], ["text", "typed"]))
        if chance < 0.25:
            return ["network", self.random.random() < 0.5, self.now]
        if phase in (Phase.IDLE, Phase.WAITING):
            return ["connect", self.now]
        if self.session.wants_token and phase is Phase.CONNECTING:
            return ["renewed", f"t{len(self.steps)}"]
        if phase is Phase.CONNECTING:
            return ["opened", self.now] if chance < 0.8 else ["closed", 1006, self.now]
        return self._on_a_socket(phase, chance)

    def _on_a_socket(self, phase: Phase, chance: float) -> Step:
        if chance < 0.4:
            return ["take", self.random.randrange(1, 5)]
        if chance < 0.5 or phase is Phase.LEAVING:
            return ["closed", self.random.choice([*(code for code in CLOSE_CODES if code != 1000), 3001]), self.now]
        if chance < 0.56:
            return ["timeout", self.session.deadline or self.now]
        if phase is Phase.GREETING:
            return ["received", self._greeting(), self.now]
        if chance < 0.66:
            self.n += 1
            return ["voice", "v" * self.random.randrange(1, 4), self.now]
        return ["received", self._message(), self.now]

    def _greeting(self) -> str:
        if not self.epoch or self.random.random() < 0.4:
            self.epoch, self.n = self.epoch + 1, 0
            self.turn = max(0, self.turn - self.random.randrange(2))
        behind = self.random.randrange(3)
        self.n = max(0, self.n - behind)
        next_seq = max(1, self.session.outbox.next - self.random.randrange(-1, 6))
        stored = max(0, next_seq - 1 - self.random.randrange(4))
        numbers = {"nextSeq": next_seq, "covered": stored, "turn": self.turn, "continuity": "handle"}
        kind = "session:resumed" if self.epoch > 1 else "session:started"
        return json.dumps({"type": kind, "epoch": self.epoch, "n": self.n, "conversation": "c", **numbers})

    def _message(self) -> str:
        self.n += 1
        turn = self.turn + 1
        choices: list[dict[str, Any]] = [
            {"type": "transcript", "role": self.random.choice(("user", "agent")), "text": f"w{self.n} ", "turn": turn},
            {"type": "turn:complete", "turn": turn, "interrupted": self.random.random() < 0.3},
            {"type": "turn:restarted", "turn": turn, "reason": "stall"},
            {"type": "turn:missed", "turn": turn, "user": "asked", "agent": "answered", "interrupted": False},
            {"type": "interrupted", "turn": turn},
            {"type": "covered", "seq": self.random.randrange(self.session.outbox.next + 2), "turn": turn},
            {"type": "session_resumption_update", "handle": f"h{self.n}", "resumable": True, "sessionToken": "t1"},
            {"type": "session_expiring", "message": "soon", "timeLeft": 3.5, "hasHandle": True, "reason": "go_away"},
            {"type": "session:rotated", "reason": "age", "continuity": "handle", "gapMs": 10, "turn": turn},
            {"type": "pong"},
            {"type": "goAway", "timeLeft": 9},
        ]
        chosen = self.random.choice(choices)
        if chosen["type"] in {"turn:complete", "turn:missed"}:
            self.turn = turn
        return json.dumps({"epoch": self.epoch, "n": self.n, **chosen})


def script(seed: int) -> Player:
    """One script, played to its end."""
    player = Player(seed)
    if seed % 7 == 0:
        player.play(["end", "done"])
    while len(player.steps) < STEPS and player.session.phase is not Phase.OVER:
        player.play(player.invent())
    return player


def cut_down(event: Any) -> Any:  # noqa: ANN401 - JSON
    """The relay's messages are passed on as they came: their number tells which."""
    if isinstance(event, dict) and "epoch" in event:
        return {name: event[name] for name in ("type", "epoch", "n")}
    return event


async def test_the_browser_decides_as_python_does(page: Page, files: str) -> None:
    """Results, phases, deadlines, what is kept and what the dialogue shows are the same after every step."""
    players = [script(seed) for seed in range(SCRIPTS)]
    await page.goto(f"{files}/tables.js")
    traces = await page.evaluate(PLAYER, [files, [player.steps for player in players], CAPACITY])
    for seed, (player, trace) in enumerate(zip(players, traces, strict=True)):
        for at, (expected, found) in enumerate(zip(player.trace, trace, strict=True)):
            if isinstance(found["result"], list):
                found["result"] = [cut_down(event) for event in found["result"]]
            assert found == expected, f"script {seed}, step {at}: {player.steps[at]}"


async def test_the_scripts_go_everywhere() -> None:
    """What is compared is worth comparing: every phase, every kind of event, losses and duplicates occur."""
    players = [script(seed) for seed in range(SCRIPTS)]
    stands = [entry["stands"] for player in players for entry in player.trace]
    results = [entry["result"] for player in players for entry in player.trace if isinstance(entry["result"], list)]
    told = {event["type"] for result in results for event in result if isinstance(event, dict)}
    assert {entry["phase"] for entry in stands} == {phase.value for phase in Phase}
    assert {"audio", "disconnected", "reconnecting", "offline", "attempt_failed", "reconnected", "over"} <= told
    assert max(entry["duplicates"] for entry in stands) > 0
    assert max(entry["givenUp"] for entry in stands) > 0
    assert any(turn["restarts"] for player in players for entry in player.trace for turn in entry["turns"])
