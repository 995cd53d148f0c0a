/* How often an entry of the journal has failed. That says nothing about it, unless others got through meanwhile. */
import type { KeptEntry } from "./entry.ts";

export interface Failures {
  /** It has failed once more. @param othersTaken so far @returns how often it has, while others got through */
  count(entry: KeptEntry, othersTaken: number): number;
  forget(entry: KeptEntry): void;
  forgetAll(): void;
}

export function createFailures(): Failures {
  /** By seq. `othersTaken`: when it failed last. */
  const known = new Map<number, { times: number; othersTaken: number }>();
  return {
    count({ seq }, othersTaken) {
      const last = known.get(seq);
      const times = last === undefined || othersTaken > last.othersTaken ? (last?.times ?? 0) + 1 : last.times;
      known.set(seq, { times, othersTaken });
      return times;
    },
    forget: ({ seq }) => void known.delete(seq),
    forgetAll: () => known.clear(),
  };
}
