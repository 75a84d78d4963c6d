// The inputs of a client that are not yet covered: kept in order, sent up to a mark, sent again on the next socket.
// What was typed and what tools answered is kept until it is covered. Audio is bounded: where it would be too much, the
// oldest goes first, and is counted. (The same as outbox.py of the Python client.)

/** Bytes of audio that are kept: half an hour. */
export const CAPACITY = 60 * 1024 * 1024;

const isAudio = (payload) => payload !== undefined && typeof payload !== "string";

export class Outbox {
  #capacity;
  #kept = new Map();
  #audioBytes = 0;
  #oldestAudio = 1;
  #mark = 1;

  constructor(capacity = CAPACITY) {
    this.#capacity = capacity;
    /** The number that the next input will get. */
    this.next = 1;
    /** Everything up to this number is stored by the relay. */
    this.covered = 0;
    /** How many pieces of audio were dropped because there was no more room. */
    this.givenUp = 0;
  }

  /** How many inputs are kept. */
  get size() {
    return this.#kept.size;
  }

  /** Keep an input (a string, or a Uint8Array of audio); gives its number. */
  add(payload) {
    const number = this.next++;
    this.#kept.set(number, payload);
    if (isAudio(payload)) {
      this.#audioBytes += payload.byteLength;
      while (this.#audioBytes > this.#capacity) this.#giveUpOldest();
    }
    return number;
  }

  /** The next input to be sent on this socket, as {number, payload}, or null while there is none. */
  take() {
    while (this.#mark < this.next) {
      const number = this.#mark++;
      const payload = this.#kept.get(number);
      if (payload !== undefined) return { number, payload };
    }
    return null;
  }

  /** Forget every input up to number `seq`; one that was never made is not believed. */
  cover(seq) {
    const last = Math.min(seq, this.next - 1);
    for (let number = this.covered + 1; number <= last; number++) {
      this.#forget(number);
      this.covered = number;
    }
    this.#mark = Math.max(this.#mark, this.covered + 1);
  }

  /** Give the inputs kept so far the numbers from `seq` on: this client is new to an older conversation. */
  adopt(seq) {
    this.#kept = new Map([...this.#kept.values()].map((payload, at) => [seq + at, payload]));
    this.#mark = this.#oldestAudio = seq;
    this.covered = seq - 1;
    this.next = seq + this.#kept.size;
  }

  /** Begin a new socket at the relay's `nextSeq`; gives how many inputs the relay asks for that are no longer kept. */
  rewind(seq) {
    if (seq > this.next) {
      // somebody else spoke for this client: its numbers go on after theirs
      this.#kept.clear();
      this.#audioBytes = 0;
      this.next = this.#oldestAudio = seq;
    }
    this.#mark = seq;
    let kept = 0;
    for (const number of this.#kept.keys()) if (number >= seq) kept++;
    return this.next - seq - kept;
  }

  #giveUpOldest() {
    while (!isAudio(this.#kept.get(this.#oldestAudio))) this.#oldestAudio++;
    this.#forget(this.#oldestAudio);
    this.givenUp++;
  }

  #forget(number) {
    const payload = this.#kept.get(number);
    if (isAudio(payload)) this.#audioBytes -= payload.byteLength;
    this.#kept.delete(number);
  }
}
