import { afterEach } from "bun:test";

/** What a test opens, to be undone after it, the last first. */
export function cleanUpAfterEach(): (() => unknown)[] {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  return cleanups;
}
