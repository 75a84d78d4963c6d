// Audio in and out: the microphone as frames for `sendAudio`, and a speaker that knows when to be silent.

const OUTPUT_RATE = 24_000;

async function contextWith(worklet, options) {
  const context = new AudioContext(options);
  await context.audioWorklet.addModule(new URL(worklet, import.meta.url));
  return context;
}

/** The user's microphone. */
export class Microphone {
  #context;
  #stream;
  #node;

  constructor(context, stream, node) {
    this.#context = context;
    this.#stream = stream;
    this.#node = node;
  }

  /**
   * Ask the user for the microphone and begin.
   *
   * @param onFrame Is given 20 ms at a time: Int16Array of 320 samples at 16 kHz, and their peak from 0 to 1.
   * @param constraints What differs from echo cancellation, noise suppression and automatic gain.
   * @throws DOMException: the user refuses, or there is none (see getUserMedia).
   */
  static async open(onFrame, constraints = {}) {
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...audio, ...constraints } });
    const context = await contextWith("./capture-worklet.js", { latencyHint: "interactive" });
    const node = new AudioWorkletNode(context, "filo-capture", { numberOfOutputs: 0, channelCount: 1 });
    node.port.onmessage = ({ data }) => onFrame(data.pcm, data.peak);
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
    return new Microphone(context, stream, node);
  }

  /** Be silent for a while: frames of silence go on coming, so that the speech before is known to have ended. */
  set muted(muted) {
    for (const track of this.#stream.getTracks()) track.enabled = !muted;
  }

  /** Give the microphone back. */
  async close() {
    this.#node.port.onmessage = null;
    for (const track of this.#stream.getTracks()) track.stop();
    await this.#context.close();
  }
}

/** The agent's voice. Give it every event of the conversation: it plays, and falls silent when it should. */
export class Speaker {
  #context;
  #node;
  #epoch = 0;
  #complete = null; // the turn whose whole answer is the last that came

  constructor(context, node) {
    this.#context = context;
    this.#node = node;
    /** Seconds that wait to be played, as last reported. */
    this.seconds = 0;
    /** How loud it is now, from 0 to 1, as last reported. */
    this.peak = 0;
    node.port.onmessage = ({ data }) => Object.assign(this, data);
  }

  /** Begin; browsers want a gesture of the user before anything is heard. */
  static async open() {
    const context = await contextWith("./playback-worklet.js", { sampleRate: OUTPUT_RATE, latencyHint: "interactive" });
    const node = new AudioWorkletNode(context, "filo-playback", { numberOfInputs: 0, outputChannelCount: [1] });
    node.connect(context.destination);
    context.resume();
    return new Speaker(context, node);
  }

  /** Take in one event of the conversation. */
  take(event) {
    switch (event.type) {
      case "audio":
        this.#complete = null;
        this.play(event.pcm);
        break;
      case "turn:complete":
        this.#complete = event.turn;
        this.#node.port.postMessage({ end: true });
        break;
      case "interrupted":
        this.flush();
        break;
      case "turn:restarted":
      case "turn:missed":
        if (this.#complete === null) this.flush(); // a whole answer is heard to its end
        break;
      case "session:started":
      case "session:resumed":
        if (event.epoch !== this.#epoch && (this.#complete === null || this.#complete > event.turn)) {
          this.flush(); // another relay: an answer that had not come whole, or was not stored, begins again
        }
        this.#epoch = event.epoch;
        break;
    }
  }

  /** Play a piece: PCM16 mono 24 kHz, as ArrayBuffer or Int16Array. */
  play(pcm) {
    this.#node.port.postMessage({ pcm: pcm instanceof Int16Array ? pcm : new Int16Array(pcm) });
  }

  /** Be silent at once, and forget what waits. */
  flush() {
    this.#node.port.postMessage({ flush: true });
  }

  /** Give the sound card back. */
  async close() {
    this.#node.disconnect();
    await this.#context.close();
  }
}
