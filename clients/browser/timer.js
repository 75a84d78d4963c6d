// One timer for whatever is due next.

/** A monotonic clock, in seconds. */
export const now = () => performance.now() / 1000;

/** Calls back at a deadline, or before it: whoever is called looks at the time. A later deadline does not move it. */
export class Timer {
  #act;
  #id = null;
  #at = Infinity;

  constructor(act) {
    this.#act = act;
  }

  /** Call back at `deadline` (null for never), if nothing earlier is set already. */
  arm(deadline) {
    if (deadline === null || deadline >= this.#at) return;
    clearTimeout(this.#id);
    this.#at = deadline;
    this.#id = setTimeout(() => this.#fire(), Math.max(0, deadline - now()) * 1000);
  }

  /** Do not call back. */
  stop() {
    clearTimeout(this.#id);
    this.#at = Infinity;
  }

  #fire() {
    this.#at = Infinity;
    this.#act();
  }
}
