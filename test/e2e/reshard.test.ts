/* A cluster of six nodes moves slots under load: a short soak. */
import { expect, test } from "bun:test";
import { cluster } from "../../scripts/soaks/cluster.ts";
import { failOnLeaks } from "../support/leaks.ts";

failOnLeaks();

test("redis-cli moves two partitions to and fro: all that was answered is found, and each mail is sent once", async () => {
  const slots = 400; // with those of partitions 1 and 5
  const options = { times: 4, perSecond: 60, waiting: 1_000, waitMs: 5_000, betweenMs: 500, leaseMs: 1_000, slots };
  expect(await cluster({ does: "reshard", ...options })).toBe(true);
}, 60_000);
