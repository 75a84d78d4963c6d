// The demonstration page: a transcript on a thread, with a knot wherever a connection was replaced or came back.

import { Conversation, Microphone, saidIn, Speaker } from "./filo-client.js";

const STORE = "filo-demo";
const $ = (id) => document.getElementById(id);
const KNOT = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 0v7c0 6-6 8-6 4s12-4 12 1-6 2-6 6v6"/></svg>';
const CONTINUITY = {
  handle: "nothing forgotten",
  rebased: "context rebuilt",
  transcript: "context rebuilt from the transcript",
  none: "context lost",
};
const CAUSE = {
  cut: "the connection was cut",
  silent: "the relay fell silent",
  go_away: "Gemini asked for it",
  1001: "the relay went away",
  1012: "the relay asked for it",
};

let talk = null;
let speaker = null;
let microphone = null;
let knot = null; // the one that tells of a return under way
let countdown = null;
let identity = null;
const counts = { turns: 0, rotations: 0, returns: 0, kept: 0, context: 0 };
const shown = new Map();
const main = document.querySelector("main");
let following = true;

// The session. --------------------------------------------------------------------------------------------------------

/** Make a session, or a fresh token for it: the same identity gives the same conversation. */
async function session() {
  const response = await fetch("session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(identity),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function begin() {
  const kept = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
  identity = kept?.identity ?? { requestId: crypto.randomUUID(), shareToken: crypto.randomUUID() };
  try {
    const { url, token, conversation } = await session();
    const same = identity.conversation === conversation; // not so when the relay has lost its store since
    identity.conversation = conversation;
    const opening = Conversation.open(url, token, {
      shareToken: identity.shareToken,
      renew: async () => (await session()).token,
      policy: { attempts: 8, ...policyFromAddress() },
      restore: same ? kept?.saved : undefined,
      onEvent: heard,
    });
    showPhase("connecting", "Connecting …");
    talk = await opening;
    globalThis.talk = talk; // for whoever opens the console
    draw();
    showPhase("live", "Live");
  } catch (error) {
    if (error.name === "ConversationError") return; // "over" has told it
    showPhase("over", "No session");
    mark(`<b>The conversation cannot begin.</b> ${escaped(error.message)}`);
  }
}

/** For tests and the impatient: ?firstWait=0.2 and the like. */
function policyFromAddress() {
  const given = [...new URLSearchParams(location.search)].filter(([, value]) => value !== "" && isFinite(value));
  return Object.fromEntries(given.map(([name, value]) => [name, Number(value)]));
}

function keep() {
  if (talk && talk.phase !== "over") sessionStorage.setItem(STORE, JSON.stringify({ identity, saved: talk.save() }));
}

// What is heard. ------------------------------------------------------------------------------------------------------

const ON = {
  "session:started": () => showPhase("live", "Live"),
  "session:resumed": () => showPhase("live", "Live"),
  "session:rotating": () => showPhase("live", "Live, changing connections"),
  "session:rotated": ({ continuity, gapMs }) => {
    counts.rotations++;
    mark(`<b>New connection to Gemini</b>, ${CONTINUITY[continuity] ?? continuity}, ${gapMs} ms`);
    showPhase("live", "Live");
  },
  "turn:complete": keep,
  usage: ({ contextTokens }) => (counts.context = contextTokens),
  disconnected: ({ code, reason }) => {
    knot = mark(`<b>Connection lost</b> (${code}${reason ? `, ${escaped(reason)}` : ""})`, "away");
  },
  reconnecting: ({ attempt, wait, cause }) => {
    knot ??= mark("", "away");
    fill(knot, `<b>Connection lost:</b> ${CAUSE[cause] ?? `code ${escaped(cause)}`}. Attempt ${attempt} …`);
    count(wait);
  },
  session_expiring: ({ reason }) => reason === "drain" && mark("<b>This relay is going away.</b> Another one goes on."),
  offline: () => showPhase("waiting", "Offline"),
  reconnected: ({ gap, attempts, continuity, lostInputs }) => {
    counts.returns++;
    const lost = lostInputs ? `${lostInputs} inputs lost` : (CONTINUITY[continuity] ?? continuity);
    const tries = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
    knot ??= mark("");
    knot.classList.remove("away");
    fill(knot, `<b>Back after ${gap.toFixed(1)} s</b>, ${tries}, ${lost}`);
    knot = null;
  },
  error: ({ message }) => mark(`<b>Trouble:</b> ${escaped(message)}`),
  over: ({ ended, code, reason }) => {
    sessionStorage.removeItem(STORE);
    showPhase("over", ended ? "Ended" : "Lost");
    mark(ended ? `<b>The end.</b> ${escaped(reason)}` : `<b>Lost</b> (${code}). ${escaped(reason)}`);
    stopMicrophone();
  },
};

function heard(event) {
  speaker?.take(event);
  ON[event.type]?.(event);
  if (event.type !== "audio") requestAnimationFrame(draw);
}

// What is shown. ------------------------------------------------------------------------------------------------------

const escaped = (text) => new Option(text).innerHTML;

function fill(item, html) {
  item.innerHTML = KNOT + html;
}

function mark(html, kind = "") {
  const item = document.createElement("li");
  item.className = `knot ${kind}`;
  fill(item, html);
  append(item);
  return item;
}

function append(item) {
  $("thread").append(item);
  follow();
}

/** Stay at the end, unless the reader has scrolled up. */
function follow() {
  if (following) main.scrollTop = main.scrollHeight;
}

function turnItem(number) {
  if (!shown.has(number)) {
    const item = document.createElement("li");
    item.className = "turn";
    item.dataset.turn = number;
    item.innerHTML = '<p class="user"></p><p class="agent"></p><p class="note"></p>';
    shown.set(number, item);
    append(item);
  }
  return shown.get(number);
}

function note(turn) {
  const notes = [];
  if (turn.interrupted) notes.push("interrupted");
  if (turn.restarts) notes.push("the answer was cut off, and came again");
  if (turn.missed) notes.push("answered while this page was away");
  return notes.join("; ");
}

function draw() {
  if (!talk) return;
  const turns = talk.dialogue.turns;
  for (const turn of turns) {
    const said = saidIn(turn);
    const answer = turn.agent.trim();
    if (!said && !answer && !shown.has(turn.number)) continue;
    const item = turnItem(turn.number);
    item.classList.toggle("complete", turn.complete);
    for (const [part, text] of [["user", said], ["agent", answer], ["note", note(turn)]]) {
      const place = item.querySelector(`.${part}`);
      if (place.textContent !== text) place.textContent = text;
    }
  }
  Object.assign(counts, { turns: turns.filter((turn) => turn.complete).length, kept: talk.uncovered });
  for (const place of document.querySelectorAll("[data-of]")) {
    place.textContent = counts[place.dataset.of].toLocaleString("en");
  }
  follow();
}

function showPhase(phase, words) {
  clearInterval(countdown);
  $("state").dataset.phase = phase;
  $("state").querySelector("span").textContent = words;
  for (const id of ["text", "send", "microphone", "cut", "end"]) $(id).disabled = phase === "over";
}

function count(seconds) {
  const end = performance.now() + seconds * 1000;
  const show = () => {
    const left = Math.ceil((end - performance.now()) / 1000);
    $("state").querySelector("span").textContent = left > 0 ? `Back in ${left} s` : "Connecting …";
  };
  showPhase("waiting", "");
  show();
  countdown = setInterval(show, 250);
}

// What the user does. -------------------------------------------------------------------------------------------------

async function startMicrophone() {
  speaker ??= await Speaker.open();
  microphone = await Microphone.open((pcm, peak) => {
    if (talk && talk.phase !== "over") talk.sendAudio(pcm);
    $("microphone").style.setProperty("--level", Math.min(1, peak * 3).toFixed(2));
  });
  $("microphone").ariaPressed = "true";
}

function stopMicrophone() {
  microphone?.close();
  microphone = null;
  $("microphone").ariaPressed = "false";
}

$("microphone").addEventListener("click", async () => {
  if (microphone) {
    stopMicrophone();
    if (talk && talk.phase !== "over") talk.sendAudioStreamEnd();
    return;
  }
  try {
    await startMicrophone();
  } catch (error) {
    mark(`<b>No microphone.</b> ${escaped(error.message)}`);
  }
});

$("composer").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !talk) return;
  $("text").value = "";
  talk.sendText(text);
  keep();
  draw();
  speaker ??= await Speaker.open();
});

$("cut").addEventListener("click", () => talk?.cut());
$("end").addEventListener("click", () => talk?.end("ended on the page"));
$("again").addEventListener("click", () => {
  const left = talk;
  talk = null;
  sessionStorage.removeItem(STORE);
  left?.close();
  location.reload();
});
main.addEventListener("scroll", () => (following = main.scrollHeight - main.scrollTop - main.clientHeight < 80));
new ResizeObserver(follow).observe(main);
addEventListener("pagehide", keep);

begin();
