/* Names that are likely meant to be another: what a producer's typing error has cost is better said. */

/**
 * The known name that `name` is nearly: the same letters in another case or with other signs between them, or a letter
 * or two away. Short names have too many neighbours for that.
 * @example nearMiss("startAt", ["id", "startsAt"]) // "startsAt"
 */
export function nearMiss(name: string, known: readonly string[]): string | undefined {
  if (name.length > 40) return undefined;
  const letters = lettersOf(name);
  const same = known.find((one) => lettersOf(one) === letters);
  return same ?? known.find((one) => isNear(letters, lettersOf(one)));
}

function lettersOf(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
}

function isNear(one: string, other: string): boolean {
  const most = other.length <= 3 ? 0 : other.length <= 5 ? 1 : 2;
  return most > 0 && Math.abs(one.length - other.length) <= most && distance(one, other) <= most;
}

/** Letters to add, take away, change, or swap with the next one (optimal string alignment). */
export function distance(one: string, other: string): number {
  const rows: number[][] = [Array.from({ length: other.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= one.length; i++) {
    const [row, above] = [[i], rows[i - 1] as number[]];
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      let least = Math.min((above[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (above[j - 1] ?? 0) + (isSame ? 0 : 1));
      const isSwapped = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      if (isSwapped) least = Math.min(least, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      row.push(least);
    }
    rows.push(row);
  }
  return rows.at(-1)?.at(-1) ?? 0;
}
