// Whether the relay is still there, and whether to come back when it is not. (The same as pulse.py and comeback.py of
// the Python client.) Times are readings of a monotonic clock, in seconds.

import { CLOSE_CODES } from "./tables.js";

/** RFC 6455, 7.1.5: the code of a connection that ended without a close frame. */
export const CUT = 1006;

const TOKEN_REFUSED = 4401; // the one final close that a new session token may heal

/** What a client does after a close with this code; an unknown one is met like a cut. */
export const actionAfter = (code) => CLOSE_CODES[code]?.action ?? "reconnect";

/** The relay's signs of life on one socket. A dead network says nothing: so silence is asked, and no answer is one. */
export class Pulse {
  #policy;
  #asked = false;

  constructor(policy) {
    this.#policy = policy;
    this.deadline = 0;
  }

  /** Something has come: whatever it was, the relay is there. */
  heard(now) {
    this.deadline = now + this.#policy.pingAfter;
    this.#asked = false;
  }

  /** Ask now, and wait no longer than a doubt deserves; "ask" where a ping is to be sent. */
  probe(now) {
    const answerBy = now + this.#policy.probeTimeout;
    const asked = this.#asked;
    this.#asked = true;
    this.deadline = asked ? Math.min(this.deadline, answerBy) : answerBy;
    return asked ? "nothing" : "ask";
  }

  /** What is to be done now: "nothing", "ask" or "dead". */
  due(now) {
    if (now < this.deadline) return "nothing";
    if (this.#asked) return "dead";
    this.#asked = true;
    this.deadline = now + this.#policy.pingTimeout;
    return "ask";
  }
}

/** The attempts of a session to come back. */
export class Comeback {
  #policy;
  #chance;
  #renewable;
  #renewed = false;
  #lostAt = 0;

  constructor(policy, chance, renewable) {
    this.#policy = policy;
    this.#chance = chance;
    this.#renewable = renewable;
    this.attempts = 0;
    this.cause = "";
    this.offline = false;
    this.parked = false;
    this.wantsToken = false;
  }

  /** The session is lost, or is given up for another socket; the first cause counts. */
  lost(cause, now) {
    if (this.cause) return;
    this.cause = cause;
    this.#lostAt = now;
  }

  /** There is a session again; gives the seconds without one. */
  back(now) {
    const gap = now - this.#lostAt;
    this.attempts = 0;
    this.cause = "";
    this.#renewed = false;
    return gap;
  }

  /** Seconds to wait after a close; null when this was the end. */
  after(code) {
    let action = actionAfter(code);
    if (code === TOKEN_REFUSED && this.#renewable && !this.#renewed) {
      this.#renewed = this.wantsToken = true;
      action = "reconnect";
    }
    if (action === "stop" || !this.#policy.attempts) return null;
    this.parked = this.offline;
    if (this.parked) return this.#policy.longestWait;
    return this.attempts < this.#policy.attempts ? this.next(action) : null;
  }

  /** Count one more attempt; gives the seconds to wait before it. */
  next(action = "reconnect") {
    this.parked = false;
    this.attempts++;
    const { shortestWait, firstWait, factor, longestWait } = this.#policy;
    if (action === "wait") return longestWait * (0.5 + this.#chance() / 2);
    const first = shortestWait + (firstWait - shortestWait) * this.#chance();
    return Math.min(longestWait, first * factor ** (this.attempts - 1));
  }
}
