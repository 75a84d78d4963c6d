// A conversation in a browser: a Session on a WebSocket, with timers, and with what the browser knows of its network.
// Nothing is decided here.

import { CUT } from "./comeback.js";
import { Dialogue } from "./dialogue.js";
import { Session } from "./session.js";
import { now, Timer } from "./timer.js";

const AWAY = 3001; // a page may close with 1000 and 3000 to 4999; the relay's echo is met like a cut: come back
const BUFFER_MARK = 1024 * 1024; // bytes that the browser may hold for the socket
const BUFFER_PAUSE = 0.05; // seconds until it is looked at again
const LARGEST_AUDIO = 64 * 1024;

/** The conversation is over, or never began; `over` tells how. */
export class ConversationError extends Error {
  constructor(over) {
    super(`the conversation is over (code ${over.code}): ${over.reason || "no reason was given"}`);
    this.name = "ConversationError";
    this.over = over;
  }
}

/**
 * One conversation, across as many sockets as it takes.
 *
 *     const talk = await Conversation.open(url, token, { shareToken });
 *     talk.addEventListener("transcript", ({ detail }) => show(detail.text));
 *     talk.sendText("What is my budget?");
 *
 * Every event is dispatched under its own type and under "event", with the message as `detail`. The same events come from
 * `for await (const event of talk)`, which ends after "over".
 */
export class Conversation extends EventTarget {
  #session;
  #renew;
  #socket = null;
  #timer = new Timer(() => this.#tick());
  #flushing = null;
  #over = null;
  #unhear = [];

  /** What was said so far. */
  dialogue = new Dialogue();

  /** Made by `open`. */
  constructor(session, renew = null) {
    super();
    this.#session = session;
    this.#renew = renew;
  }

  /**
   * Connect; settles when the relay has greeted.
   *
   * @param url The relay with the path of CreateSession: wss://relay.example/ws/ai-voice?mode=sales_agent
   * @param token The session token; null where `renew` is to be asked for it.
   * @param options {shareToken, renew, rotation, test, policy, capacity, restore, onEvent}; see filo-client.d.ts.
   * @throws ConversationError: the relay refuses, or cannot be reached.
   */
  static async open(url, token, options = {}) {
    const { shareToken, renew = null, rotation = "relay", test = false, policy, capacity, restore, onEvent } = options;
    if (!token && !renew && !restore) throw new TypeError("a token or renew must be given");
    const credentials = { url, sessionToken: token, shareToken, rotation, test, renewable: renew !== null };
    const talk = new Conversation(new Session(credentials, policy, Math.random, capacity), renew);
    if (onEvent) talk.addEventListener("event", ({ detail }) => onEvent(detail));
    if (restore) {
      talk.#session.goOnFrom(restore.standing);
      talk.dialogue.restore(restore.dialogue);
    }
    await talk.#begin();
    return talk;
  }

  // What the owner gives. ---------------------------------------------------------------------------------------------

  /** Where the session stands now: "live" while the relay listens. */
  get phase() {
    return this.#over ? "over" : this.#session.phase;
  }

  /** How many inputs are kept because the relay has not stored them yet. */
  get uncovered() {
    return this.#session.outbox.size;
  }

  /** How many pieces of audio were dropped because too much was kept. */
  get givenUp() {
    return this.#session.outbox.givenUp;
  }

  /** Send a piece of the user's voice: PCM16 mono 16 kHz, as Int16Array, Uint8Array or ArrayBuffer; gives its number. */
  sendAudio(pcm) {
    this.#check();
    const bytes = ArrayBuffer.isView(pcm)
      ? new Uint8Array(pcm.buffer, pcm.byteOffset, pcm.byteLength)
      : new Uint8Array(pcm);
    if (bytes.byteLength % 2 || bytes.byteLength > LARGEST_AUDIO) {
      throw new RangeError(`audio is PCM16 of at most ${LARGEST_AUDIO} bytes, not ${bytes.byteLength} bytes`);
    }
    return this.#sent(this.#session.audio(bytes));
  }

  /** Send a typed turn; gives its number. */
  sendText(text) {
    this.#check();
    if (!text.trim()) throw new RangeError("text must not be empty");
    this.dialogue.typed(text);
    return this.#sent(this.#session.text(text));
  }

  /** Answer a tool call (one of `calls` of a "tool_call") with a plain object; gives the number of the input. */
  sendToolResult(call, result) {
    this.#check();
    return this.#sent(this.#session.toolResult(call.id, call.name, result));
  }

  /** Say that the user begins (true) or ends to speak, where automatic detection is off; gives the number of that. */
  sendActivity(start) {
    this.#check();
    return this.#sent(this.#session.activity(start));
  }

  /** Say that the microphone is off for a while; gives the number of that. */
  sendAudioStreamEnd() {
    this.#check();
    return this.#sent(this.#session.audioStreamEnd());
  }

  /** End the conversation for good once everything is sent; "over" tells when. */
  end(reason = "done") {
    this.#session.end(reason);
    this.#flush();
  }

  /** Leave without ending the conversation: another client may go on with it. */
  close() {
    if (this.#over) return;
    this.#session.quit(now());
    if (this.#session.leaving) this.#after([]);
    else this.#finish({ type: "over", ended: false, code: AWAY, reason: "left", attempts: 0 });
  }

  /** Lose the socket as a network does, and come back: for demonstrations and tests. */
  cut() {
    if (this.#socket) this.#lose(CUT, "");
  }

  /** What another page needs to go on, as plain data: secrets are in it. Input that is not yet covered is not. */
  save() {
    return { standing: this.#session.standing, dialogue: this.dialogue.save() };
  }

  /** The events from now on, until "over". */
  async *[Symbol.asyncIterator]() {
    const waiting = [];
    let wake = () => {};
    const listen = ({ detail }) => {
      waiting.push(detail);
      wake();
    };
    this.addEventListener("event", listen);
    try {
      while (!this.#over || waiting.length) {
        if (!waiting.length) await new Promise((resolve) => (wake = resolve));
        const event = waiting.shift();
        yield event;
        if (event.type === "over") return;
      }
    } finally {
      this.removeEventListener("event", listen);
    }
  }

  // The socket. -------------------------------------------------------------------------------------------------------

  #begin() {
    this.#hear(window, "online", () => this.#network());
    this.#hear(window, "offline", () => this.#network());
    this.#hear(window, "pageshow", () => this.#network());
    this.#hear(document, "visibilitychange", () => document.visibilityState === "visible" && this.#network());
    return new Promise((resolve, reject) => {
      const greeted = () => resolve();
      this.addEventListener("session:started", greeted, { once: true });
      this.addEventListener("session:resumed", greeted, { once: true });
      this.addEventListener("over", ({ detail }) => reject(new ConversationError(detail)), { once: true });
      this.#connect();
    });
  }

  /** Timers of a hidden page are slow and a sleeping machine has none: whatever is due is looked at, and the relay asked. */
  #network() {
    this.#timer.stop();
    this.#tick();
    if (!this.#over) this.#after(this.#session.network(navigator.onLine, now()));
  }

  async #connect() {
    const url = this.#session.connect(now());
    this.#arm();
    const attempt = (this.#socket = { ws: null });
    try {
      if (this.#session.wantsToken && this.#renew) this.#session.renewed(await this.#renew());
      if (this.#socket !== attempt) return; // it took too long
      attempt.ws = new WebSocket(url);
    } catch (error) {
      if (this.#socket === attempt) this.#lose(CUT, String(error));
      return;
    }
    attempt.ws.binaryType = "arraybuffer";
    const current = (act) => (event) => this.#socket === attempt && act(event);
    attempt.ws.onopen = current(() => this.#after(this.#session.opened(now())));
    attempt.ws.onmessage = current(({ data }) => this.#after(this.#session.received(data, now()), data));
    attempt.ws.onclose = current(({ code, reason }) => this.#lose(code, reason));
  }

  /** The socket is gone, or is given up: nothing of it is heard any more. */
  #lose(code, reason) {
    const ws = this.#socket?.ws;
    this.#socket = null;
    if (ws && ws.readyState < WebSocket.CLOSING) ws.close(AWAY);
    this.#after(this.#session.closed(code, reason, now()));
  }

  #flush() {
    const ws = this.#socket?.ws;
    if (ws?.readyState !== WebSocket.OPEN || this.#flushing !== null) return;
    while (ws.bufferedAmount < BUFFER_MARK) {
      const message = this.#session.take();
      if (message === null) return;
      ws.send(message);
    }
    this.#flushing = setTimeout(() => {
      this.#flushing = null;
      this.#flush();
    }, BUFFER_PAUSE * 1000);
  }

  #sent(number) {
    this.#flush();
    return number;
  }

  /** Something may have changed: send what may be sent, leave what is to be left, tell the owner. */
  #after(events, frame = null) {
    if (this.#session.leaving) {
      const ws = this.#socket?.ws;
      if (ws?.readyState === WebSocket.OPEN) ws.close(AWAY);
    } else if (frame === null || typeof frame === "string") {
      this.#flush();
    }
    this.#arm();
    for (const event of events) this.#tell(event);
  }

  #tell(event) {
    this.dialogue.take(event);
    if (event.type === "over") {
      this.#finish(event);
      return;
    }
    this.dispatchEvent(new CustomEvent("event", { detail: event }));
    this.dispatchEvent(new CustomEvent(event.type, { detail: event }));
  }

  #finish(over) {
    this.#over = over;
    this.#timer.stop();
    clearTimeout(this.#flushing);
    const ws = this.#socket?.ws;
    this.#socket = null;
    if (ws && ws.readyState < WebSocket.CLOSING) ws.close(AWAY);
    for (const unhear of this.#unhear) unhear();
    this.dispatchEvent(new CustomEvent("event", { detail: over }));
    this.dispatchEvent(new CustomEvent("over", { detail: over }));
  }

  // The time. ---------------------------------------------------------------------------------------------------------

  #arm() {
    if (!this.#over) this.#timer.arm(this.#session.deadline);
  }

  #tick() {
    if (this.#over) return;
    const { deadline } = this.#session;
    if (deadline !== null && now() >= deadline) this.#due();
    else this.#arm();
  }

  #due() {
    switch (this.#session.phase) {
      case "waiting":
        this.#connect();
        break;
      case "connecting":
        this.#lose(CUT, "the relay did not answer in time");
        break;
      case "leaving":
        this.#lose(CUT, "the relay did not answer the close in time");
        break;
      default:
        this.#after(this.#session.timeout(now()));
    }
  }

  #hear(target, type, listener) {
    target.addEventListener(type, listener);
    this.#unhear.push(() => target.removeEventListener(type, listener));
  }

  #check() {
    if (this.#over) throw new ConversationError(this.#over);
  }
}
