// One client of the relay, decided: what to send, when to leave, when to come back. No sockets, no timers, no clock.
// (The same as session.py of the Python client; a test plays the same scripts to both.)
//
// The driver's part: call `connect` and open the URL it gives, after `renewed` where `wantsToken`; tell `opened`,
// `received` and `closed`; send what `take` gives; while `leaving` close the socket; call `timeout` at the deadline. A
// method that is told something returns what the owner should hear. Times are in seconds.

import { Comeback, CUT, Pulse } from "./comeback.js";
import { Outbox } from "./outbox.js";
import { POLICY, TRANSITIONS } from "./tables.js";
import { parse, write } from "./wire.js";

const ENDED = new Set([1000, 4410]); // the conversation is over: now, or since before this socket
const GREETINGS = new Set(["session:started", "session:resumed"]);

export class Session {
  #credentials;
  #token;
  #handle = null;
  #position = [0, 0];
  #seen = [0, 0];
  #lastTurn = 0;
  #first = [];
  #counted = 1;
  #farewell = null;
  #saidFarewell = false;
  #greetedBefore = false;
  #comeback;
  #pulse;
  #deadline = null;
  #end = null;
  #live = false;
  #quitting = false;

  /**
   * @param credentials {url, sessionToken, shareToken, rotation, test, renewable}
   * @param policy What differs from POLICY.
   * @param chance Gives numbers in [0, 1) for the waits.
   * @param capacity Bytes of audio that are kept until they are covered.
   */
  constructor(credentials, policy = {}, chance = Math.random, capacity = undefined) {
    this.#credentials = credentials;
    this.#token = credentials.sessionToken ?? null;
    this.policy = { ...POLICY, ...policy };
    this.#comeback = new Comeback(this.policy, chance, Boolean(credentials.renewable));
    this.#comeback.wantsToken = this.#token === null;
    this.#pulse = new Pulse(this.policy);
    this.outbox = new Outbox(capacity);
    this.phase = "idle";
    this.expiring = false;
    this.duplicates = 0;
  }

  // What the owner gives. ---------------------------------------------------------------------------------------------

  /** Keep a piece of the client's voice (Uint8Array of PCM16, 16 kHz, at most 64 KiB); gives its number. */
  audio(pcm) {
    return this.outbox.add(pcm);
  }

  /** Keep a typed turn; gives its number. */
  text(text) {
    return this.outbox.add(write("text", { text }));
  }

  /** Keep the client's own voice activity, where automatic detection is off; gives its number. */
  activity(start) {
    return this.outbox.add(write(start ? "activity_start" : "activity_end"));
  }

  /** Keep that the microphone is off for a while; gives the number of that. */
  audioStreamEnd() {
    return this.outbox.add(write("audio_stream_end"));
  }

  /** Keep the answer to a tool call; gives its number. */
  toolResult(id, name, result) {
    return this.outbox.add(write("tool_result", { id, name, result }));
  }

  /** End the conversation once everything kept has been sent; said again on a new socket if need be. */
  end(reason) {
    this.#farewell = write("end", { reason });
  }

  /** Leave for good, without ending the conversation. */
  quit(now) {
    this.#quitting = true;
    if (this.phase === "greeting" || this.phase === "live") this.#leave("left", now);
  }

  /** The last message seen, the newest resume handle and token: what `goOnFrom` takes. */
  get standing() {
    return { seen: this.#seen, turn: this.#lastTurn, handle: this.#handle, token: this.#token };
  }

  /** Before the first `connect`: another page had this session; be sent what came after it. */
  goOnFrom({ seen, turn, handle, token }) {
    this.#seen = seen;
    this.#lastTurn = turn ?? null;
    this.#handle = handle;
    this.#token = token ?? this.#token;
    this.#comeback.wantsToken = this.#token === null;
  }

  // What the driver does. ---------------------------------------------------------------------------------------------

  get leaving() {
    return this.phase === "leaving";
  }

  /** When the driver is to call `timeout`, or to begin the next attempt; null while nothing is due. */
  get deadline() {
    return this.phase === "live" ? this.#pulse.deadline : this.#deadline;
  }

  get wantsToken() {
    return this.#comeback.wantsToken;
  }

  /** The owner has given a new session token. */
  renewed(token) {
    this.#token = token;
    this.#comeback.wantsToken = false;
  }

  /** Begin an attempt; gives the URL to open. It holds no token: those go in the first message. */
  connect(now) {
    this.#move("connect", now + this.policy.openTimeout);
    const url = new URL(this.#credentials.url);
    const given = {
      testMode: this.#credentials.test ? "true" : null,
      rotation: this.#credentials.rotation === "client" ? "client" : null,
      resumeHandle: this.#handle,
      lastSeen: this.#seen[0] ? this.#seen.join(".") : null,
      lastTurn: this.#seen[0] ? this.#lastTurn : null,
    };
    for (const [name, value] of Object.entries(given)) if (value !== null) url.searchParams.append(name, value);
    return url.href;
  }

  /** The socket is open: introduce this client and await the relay's greeting. */
  opened(now) {
    this.#move("opened", now + this.policy.greetingTimeout);
    const shareToken = this.#credentials.shareToken;
    this.#first = [write("auth", { sessionToken: this.#token ?? undefined, shareToken: shareToken ?? undefined })];
    return [];
  }

  /** The next message for the socket, or null while there is none. */
  take() {
    if (this.phase !== "greeting" && this.phase !== "live") return null;
    if (this.#first.length) return this.#first.shift();
    if (this.phase !== "live") return null;
    const entry = this.outbox.take();
    if (entry !== null) {
      const expected = this.#counted;
      this.#counted = entry.number + 1;
      if (entry.number === expected) return entry.payload;
      this.#first.push(entry.payload);
      return write("seq", { next: entry.number });
    }
    if (this.#farewell === null || this.#saidFarewell) return null;
    this.#saidFarewell = true;
    return this.#farewell;
  }

  /** A frame has come from the relay: a string, or an ArrayBuffer of audio. One that was seen before is passed over. */
  received(frame, now) {
    this.#pulse.heard(now);
    if (typeof frame !== "string") {
      const [epoch, n] = this.#position;
      return this.#isNew(epoch, n + 1) ? [{ type: "audio", pcm: frame }] : [];
    }
    const message = parse(frame);
    if (message !== null && GREETINGS.has(message.type)) return this.#greeted(message, now);
    if (message === null || !message.epoch || !this.#isNew(message.epoch, message.n)) return [];
    this.#react(message, now);
    return [message];
  }

  /** The socket is gone, or could not be opened (1006 and a sentence); decide whether to come back. */
  closed(code, reason, now) {
    const told = [];
    if (this.#end === null && !this.#quitting) {
      const why = reason || `closed with ${code}`;
      const attempt = this.#comeback.attempts;
      told.push(this.#live ? { type: "disconnected", code, reason } : { type: "attempt_failed", attempt, reason: why });
    }
    this.#comeback.lost(code === CUT ? "cut" : String(code), now);
    this.#live = false;
    const wait = this.#end !== null || this.#quitting ? null : this.#comeback.after(code);
    if (wait === null) {
      this.#move("finished");
      const why = this.#end ?? (this.#quitting ? "left" : reason);
      const ended = this.#end !== null || (ENDED.has(code) && !this.#quitting);
      return [...told, { type: "over", ended, code, reason: why, attempts: this.#comeback.attempts }];
    }
    this.#move("lost", now + wait);
    return [...told, this.#waiting(wait)];
  }

  /** The deadline has passed: a relay that does not greet, or has fallen silent, is left. */
  timeout(now) {
    if (this.phase === "greeting") this.#leave("silent", now);
    else if (this.phase === "live") this.#do(this.#pulse.due(now), now);
    return [];
  }

  /** The machine has lost its network or has one again, as far as it knows. */
  network(online, now) {
    this.#comeback.offline = !online;
    if (this.phase === "live") {
      // it may have another address now, and the socket be dead without a word
      this.#do(this.#pulse.probe(now), now);
    } else if (this.phase === "waiting" && online && this.#comeback.parked) {
      const wait = this.#comeback.next();
      this.#deadline = now + wait;
      return [this.#waiting(wait)];
    }
    return [];
  }

  // What the relay's messages change. ---------------------------------------------------------------------------------

  #greeted(message, now) {
    if (this.phase !== "greeting") return []; // it came too late, or twice
    this.#move("greeted");
    this.#position = [message.epoch, message.n];
    const turn = message.turn ?? 0;
    if (!this.#seen[0]) {
      // what was before is not this client's to know
      this.#seen = this.#position;
      this.#lastTurn = turn;
    } else if (this.#lastTurn !== null) {
      this.#lastTurn = Math.min(this.#lastTurn, turn); // a turn that was not stored begins again
    }
    if (!this.#greetedBefore) this.outbox.adopt(message.nextSeq ?? 1);
    const lostInputs = this.outbox.rewind(message.nextSeq ?? 1);
    this.outbox.cover(message.covered ?? 0);
    this.#counted = Math.max(message.nextSeq ?? 1, this.outbox.covered + 1);
    this.#first = [write("seq", { next: this.#counted })];
    const { cause, attempts } = this.#comeback;
    const gap = this.#comeback.back(now);
    const told = [message];
    if (this.#greetedBefore) {
      told.push({ type: "reconnected", cause, attempts, continuity: message.continuity ?? "none", gap, lostInputs });
    }
    this.#greetedBefore = this.#live = true;
    this.expiring = this.#saidFarewell = false;
    return told;
  }

  #isNew(epoch, n) {
    this.#position = [epoch, n];
    const [seenEpoch, seenN] = this.#seen;
    if (epoch < seenEpoch || (epoch === seenEpoch && n <= seenN)) {
      this.duplicates++;
      return false;
    }
    this.#seen = this.#position;
    return true;
  }

  #react(message, now) {
    switch (message.type) {
      case "session_resumption_update":
        this.#token = message.sessionToken ?? this.#token;
        this.#handle = message.handle ?? this.#handle;
        break;
      case "session_expiring":
        this.expiring = true;
        break;
      case "session:rotated":
        this.expiring = false;
        break;
      case "turn:complete":
      case "turn:missed":
        this.#lastTurn = Math.max(this.#lastTurn ?? 0, message.turn ?? 0);
        break;
      case "covered":
        this.outbox.cover(message.seq);
        break;
      case "conversation_end":
        this.#end = message.reason || "ended";
        break;
      case "goAway":
        if (this.policy.followGoAway && this.phase === "live") this.#leave("go_away", now);
        break;
    }
  }

  #waiting(wait) {
    const { attempts, cause, parked } = this.#comeback;
    return parked ? { type: "offline", wait } : { type: "reconnecting", attempt: attempts, wait, cause };
  }

  #do(due, now) {
    if (due === "ask") this.#first.push(write("ping"));
    else if (due === "dead") this.#leave("silent", now);
  }

  #leave(cause, now) {
    this.#comeback.lost(cause, now);
    this.#move("leave", now + this.policy.closeTimeout);
  }

  #move(signal, deadline = null) {
    const following = TRANSITIONS[this.phase][signal];
    if (following === undefined) throw new Error(`${signal} makes no sense while ${this.phase}`);
    this.phase = following;
    this.#deadline = deadline;
  }
}
