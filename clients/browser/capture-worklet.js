// The microphone, on the audio thread: whatever the sound card's rate, out come frames of 20 ms, PCM16, 16 kHz.

const RATE = 16_000;
const FRAME = 320;
const TAPS = 48;
const PHASES = 32;

/**
 * A low-pass below half of 16 kHz (windowed sinc), so that nothing above it comes out as noise below it. One for each of
 * so many places between two samples, for rates that are no multiple of 16 kHz.
 */
function lowPass(rate, phase) {
  const cutoff = Math.min(0.5, (0.45 * RATE) / rate);
  const middle = (TAPS - 1) / 2 + phase / PHASES;
  const taps = Array.from({ length: TAPS }, (_, at) => {
    const x = at - middle;
    const sinc = x === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * x) / (Math.PI * x);
    return sinc * (0.54 - 0.46 * Math.cos((2 * Math.PI * at) / (TAPS - 1)));
  });
  const sum = taps.reduce((total, tap) => total + tap, 0);
  return Float32Array.from(taps, (tap) => tap / sum);
}

class Capture extends AudioWorkletProcessor {
  #step = sampleRate / RATE;
  #taps = Array.from({ length: PHASES }, (_, phase) => lowPass(sampleRate, phase));
  #direct = sampleRate === RATE;
  #history = new Float32Array(TAPS + 128);
  #at = 0;
  #frame = new Int16Array(FRAME);
  #filled = 0;
  #peak = 0;

  process([input]) {
    const samples = input[0];
    if (!samples) return true; // nothing is plugged in yet
    if (this.#direct) for (const sample of samples) this.#put(sample);
    else this.#resample(samples);
    return true;
  }

  #resample(samples) {
    const history = this.#history;
    history.copyWithin(0, samples.length);
    history.set(samples, history.length - samples.length);
    const begin = history.length - samples.length - TAPS + 1;
    for (; this.#at < samples.length; this.#at += this.#step) {
      const whole = Math.floor(this.#at);
      const taps = this.#taps[Math.floor((this.#at - whole) * PHASES)];
      let sum = 0;
      for (let tap = 0; tap < TAPS; tap++) sum += history[begin + whole + tap] * taps[tap];
      this.#put(sum);
    }
    this.#at -= samples.length;
  }

  #put(sample) {
    const clipped = Math.max(-1, Math.min(1, sample));
    this.#peak = Math.max(this.#peak, Math.abs(clipped));
    this.#frame[this.#filled++] = clipped * 32_767;
    if (this.#filled < FRAME) return;
    this.port.postMessage({ pcm: this.#frame, peak: this.#peak }, [this.#frame.buffer]);
    this.#frame = new Int16Array(FRAME);
    this.#filled = 0;
    this.#peak = 0;
  }
}

registerProcessor("filo-capture", Capture);
