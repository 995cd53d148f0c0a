type Truthy<T> = Exclude<T, undefined | null | false | 0 | "">;

/** Polls until `read` gives something truthy, and returns it. Fails when the deadline passes first. */
export async function until<T>(what: string, read: () => T | Promise<T>, deadlineMs = 15_000): Promise<Truthy<T>> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await read();
    if (value) return value as Truthy<T>;
    if (performance.now() > deadline) throw new Error(`after ${deadlineMs} ms still not: ${what}`);
    await Bun.sleep(5);
  }
}
