/* The soak of partitions, for a short while: two services and two workers, one of which is killed or stopped at each change. */
import { expect, test } from "bun:test";
import { partitions } from "../../scripts/soaks/partitions.ts";

test.each([
  { cluster: false, numbers: [4, 2, 1] },
  { cluster: true, numbers: [4, 1] },
])(
  "under load, with %p, every event is found, mailed once, and not after it was cancelled",
  async (options) => {
    expect(await partitions({ ...options, perSecond: 60 })).toBe(true);
  },
  120_000,
);
