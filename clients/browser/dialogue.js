// What was said, by turns: the relay's messages put together, so that a cut leaves neither holes nor repetitions.
// (The same as dialogue.py of the Python client, which tells the theory.)

const turnNumber = (number) => ({
  number,
  user: "",
  typed: [],
  agent: "",
  complete: false,
  interrupted: false,
  missed: false,
  restarts: 0,
});

function withdraw(turn) {
  if (turn.user || turn.agent) turn.restarts++;
  turn.user = turn.agent = "";
  turn.complete = turn.interrupted = false;
}

/** All that the user said in a turn, typed or spoken. */
export function saidIn(turn) {
  const parts = turn.missed ? [turn.user] : [...turn.typed, turn.user];
  return parts.map((part) => part.trim()).filter(Boolean).join("\n");
}

export class Dialogue {
  #turns = new Map();
  #epoch = 0;
  #last = 0;

  /** All turns, in order. */
  get turns() {
    return [...this.#turns.values()].sort((one, other) => one.number - other.number);
  }

  /** What `restore` takes: plain data. */
  save() {
    return { turns: this.turns, epoch: this.#epoch, last: this.#last };
  }

  /** Go on from what another page has saved. */
  restore({ turns, epoch, last }) {
    this.#turns = new Map(turns.map((turn) => [turn.number, { ...turn }]));
    this.#epoch = epoch;
    this.#last = last;
  }

  /** The user has typed something: it belongs to the turn in progress, or, into an answer, to the next one. */
  typed(text) {
    let turn = this.#turn(this.#last + 1);
    if (turn.agent) turn = this.#turn(this.#last + 2);
    turn.typed.push(text);
    return turn;
  }

  /** Take in one event of the client; others than these change nothing. */
  take(event) {
    switch (event.type) {
      case "session:started":
      case "session:resumed":
        this.#greeted(event);
        break;
      case "transcript":
        this.#turn(event.turn)[event.role === "user" ? "user" : "agent"] += event.text;
        break;
      case "turn:restarted":
        withdraw(this.#turn(event.turn));
        break;
      case "interrupted":
        this.#turn(event.turn).interrupted = true;
        break;
      case "turn:complete":
        Object.assign(this.#turn(event.turn), { complete: true, interrupted: Boolean(event.interrupted) });
        this.#last = Math.max(this.#last, event.turn);
        break;
      case "turn:missed": {
        const { user, agent, interrupted } = event;
        Object.assign(this.#turn(event.turn), { user, agent, interrupted, complete: true, missed: true });
        this.#last = Math.max(this.#last, event.turn);
        break;
      }
    }
  }

  #greeted({ epoch, turn }) {
    if (epoch === this.#epoch) return;
    for (const known of this.#turns.values()) if (known.number > turn) withdraw(known);
    this.#epoch = epoch;
    this.#last = turn;
  }

  #turn(number) {
    if (!this.#turns.has(number)) this.#turns.set(number, turnNumber(number));
    return this.#turns.get(number);
  }
}
