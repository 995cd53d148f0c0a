/* Turns, first come first served: how many may be busy at once is asked each time, since a relay's limit moves. */

export class Turns {
  readonly #limit: () => number;
  /** Written by wait(), grant() and refuse(). */
  #waiting: ((granted: boolean) => void)[] = [];
  /** Written by grant(), jump() and end(). */
  #busy = 0;

  /** @param limit how many may be busy now */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get busy(): number {
    return this.#busy;
  }

  /** Resolves with true when it is this caller's turn, with false when all are refused. @param first before all others */
  wait(first: boolean): Promise<boolean> {
    return new Promise((resolve) => {
      if (first) this.#waiting.unshift(resolve);
      else this.#waiting.push(resolve);
      this.grant();
    });
  }

  /** To be called when the limit may have risen. */
  grant(): void {
    while (this.#busy < this.#limit()) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#busy++;
      next(true);
    }
  }

  /** Takes a turn at once, whatever the limit and whoever waits. */
  jump(): void {
    this.#busy++;
  }

  end(): void {
    this.#busy--;
    this.grant();
  }

  /** All that wait are told false. */
  refuse(): void {
    for (const refuse of this.#waiting.splice(0)) refuse(false);
  }
}
