/** Polls until `read` gives something truthy, and returns it. Fails when the deadline passes first. */
export async function until<T>(what: string, read: () => T | Promise<T>, deadlineMs = 5_000): Promise<T> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const value = await read();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`after ${deadlineMs} ms still not: ${what}`);
    await Bun.sleep(5);
  }
}
