/*
 * How many messages may be asked for. A message takes a slot from the moment it is asked for until its attempt ends, so
 * that the settlement and the take that fills the slot travel together. While outcomes cannot be written, no more than
 * twice the slots are owned.
 *   asked ──begin──▶ running ──end──▶ settling ──settle──▶ gone
 * Pure but for its counters: they never go below zero, which would be a bug of the caller's.
 */
export class Slots {
  readonly #capacity: number;
  #asked = 0;
  #running = 0;
  #settling = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** How many more may be asked for. */
  free(): number {
    const owned = this.#running + this.#settling;
    return Math.min(this.#capacity - this.#running, 2 * this.#capacity - owned) - this.#asked;
  }

  /** Asked for, and not answered yet. */
  get asked(): number {
    return this.#asked;
  }

  ask(count: number): void {
    this.#asked += count;
  }

  /** The answer to an `ask` has come, whatever it brought. */
  answer(count: number): void {
    this.#asked = atLeastZero(this.#asked - count, "asked");
  }

  /** A message runs. The two functions that are returned end its attempt and its settlement, each once, in any order. */
  begin(): { end(): void; settle(): void } {
    let phase: "running" | "settling" | "gone" = "running";
    this.#running += 1;
    return {
      end: () => {
        if (phase !== "running") return;
        phase = "settling";
        this.#running = atLeastZero(this.#running - 1, "running");
        this.#settling += 1;
      },
      settle: () => {
        if (phase === "running") this.#running = atLeastZero(this.#running - 1, "running");
        if (phase === "settling") this.#settling = atLeastZero(this.#settling - 1, "settling");
        phase = "gone";
      },
    };
  }
}

function atLeastZero(count: number, what: string): number {
  if (count < 0) throw new Error(`${what} slots are ${count}`);
  return count;
}
