// The agent's voice, on the audio thread: pieces of PCM16 at 24 kHz go in, in any sizes; a flush makes it silent at once.

const RATE = 24_000;
const HEAD_START = 0.06; // seconds that wait before speech begins, against the network's unevenness
const FADE = 240; // samples over which a flush fades what is playing: 10 ms, so that it does not click
const REPORT_EVERY = 20; // blocks of 128 samples

class Playback extends AudioWorkletProcessor {
  #pieces = [];
  #waiting = 0;
  #at = 0;
  #step = RATE / sampleRate;
  #playing = false;
  #ending = false;
  #last = 0;
  #peak = 0;
  #blocks = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.pcm) this.#add(data.pcm);
      else if (data.flush) this.#flush();
      else if (data.end) this.#ending = true;
    };
  }

  #add(pcm) {
    this.#pieces.push(pcm);
    this.#waiting += pcm.length;
    this.#ending = false;
  }

  /** Keep only as much as the fade takes. */
  #flush() {
    const rest = new Int16Array(Math.min(FADE, Math.max(0, Math.floor(this.#waiting - this.#at))));
    if (this.#playing) for (let at = 0; at < rest.length; at++) rest[at] = this.#sample(this.#at + at) * (1 - at / FADE);
    this.#pieces = this.#playing && rest.length ? [rest] : [];
    this.#waiting = this.#playing ? rest.length : 0;
    this.#at = 0;
    this.#ending = true;
  }

  process(_, [output]) {
    const channel = output[0];
    if (!this.#playing && this.#waiting > 0) this.#playing = this.#ending || this.#waiting >= HEAD_START * RATE;
    for (let at = 0; at < channel.length; at++) channel[at] = this.#playing ? this.#next() : 0;
    if (++this.#blocks % REPORT_EVERY === 0) {
      this.port.postMessage({ seconds: Math.max(0, this.#waiting - this.#at) / RATE, peak: this.#peak });
      this.#peak = 0;
    }
    return true;
  }

  #next() {
    while (this.#pieces.length && this.#at >= this.#pieces[0].length) {
      const done = this.#pieces.shift();
      this.#at -= done.length;
      this.#waiting -= done.length;
    }
    if (!this.#pieces.length) {
      this.#playing = false;
      this.#at = 0;
      this.port.postMessage({ seconds: 0, peak: 0 });
      return 0;
    }
    const whole = Math.floor(this.#at);
    const value = this.#sample(whole) + (this.#sample(whole + 1) - this.#sample(whole)) * (this.#at - whole);
    this.#at += this.#step;
    this.#peak = Math.max(this.#peak, Math.abs(value) / 32_768);
    return value / 32_768;
  }

  /** One sample of what waits; the last one again where there is none yet. */
  #sample(at) {
    let index = Math.floor(at);
    for (const piece of this.#pieces) {
      if (index < piece.length) return (this.#last = piece[index]);
      index -= piece.length;
    }
    return this.#last;
  }
}

registerProcessor("filo-playback", Playback);
