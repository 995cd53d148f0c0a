/* Which priorities the next slots go to. */
import { PRIORITIES } from "../domain/lifecycle.ts";

/** Of ten slots under full load: critical, default, low. */
const WEIGHTS = [6, 3, 1] as const;

/**
 * Smooth weighted round robin: deals slots to the ranks so that each gets its share over time, whatever the
 * size of a batch. Strict order deals none, since the rest is filled up from the highest rank on.
 */
export function createDealer(order: "weighted" | "strict"): (slots: number) => number[] {
  const total = WEIGHTS.reduce((sum, weight) => sum + weight, 0);
  const credit = PRIORITIES.map(() => 0);
  return (slots) => {
    const dealt = PRIORITIES.map(() => 0);
    if (order === "strict") return dealt;
    for (let slot = 0; slot < slots; slot++) {
      WEIGHTS.forEach((weight, rank) => {
        credit[rank] = (credit[rank] ?? 0) + weight;
      });
      const rank = credit.indexOf(Math.max(...credit));
      credit[rank] = (credit[rank] ?? 0) - total;
      dealt[rank] = (dealt[rank] ?? 0) + 1;
    }
    return dealt;
  };
}
