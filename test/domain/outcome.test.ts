import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  decide,
  type Failure,
  fingerprint,
  type Outcome,
  type RetryPolicy,
  retryDelayMs,
} from "../../src/domain/outcome.ts";

const policy: RetryPolicy = { maxRetries: 3, retryDelaysMs: [1_000, 5_000], onUnknown: "resend" };
const holding: RetryPolicy = { ...policy, onUnknown: "hold" };
const none: RetryPolicy = { ...policy, maxRetries: 0 };
const reason = "the relay's words";

describe("an attempt that failed", () => {
  const table: [string, number, Failure["kind"], RetryPolicy, Outcome][] = [
    ["for good is dead at once", 1, "permanent", policy, { kind: "dead", reason }],
    ["for good is dead, also on the last retry", 4, "permanent", policy, { kind: "dead", reason }],
    ["for now is deferred by the first delay", 1, "transient", policy, { kind: "deferred", delayMs: 1_000, reason }],
    ["for now again, by the second", 2, "transient", policy, { kind: "deferred", delayMs: 5_000, reason }],
    ["for now on the last but one", 3, "transient", policy, { kind: "deferred", delayMs: 5_000, reason }],
    ["for now on the last retry is dead", 4, "transient", policy, { kind: "dead", reason }],
    ["for now is dead where no retry is allowed", 1, "transient", none, { kind: "dead", reason }],
    ["nobody knows how is sent again", 1, "ambiguous", policy, { kind: "unknown", reason, resendDelayMs: 1_000 }],
    ["nobody knows how on the last retry is dead", 4, "ambiguous", policy, { kind: "dead", reason, how: "unknown" }],
    ["nobody knows how is held", 1, "ambiguous", holding, { kind: "unknown", reason, resendDelayMs: undefined }],
    [
      "nobody knows how is held on the last",
      4,
      "ambiguous",
      holding,
      { kind: "unknown", reason, resendDelayMs: undefined },
    ],
  ];
  test.each(table)("%s", (_title, attempt, kind, rules, outcome) => {
    expect(decide(attempt, { kind, reason }, rules, 0)).toEqual(outcome);
  });

  test("is tried MAX_RETRIES times more, and not once more than that", () => {
    fc.assert(
      fc.property(fc.nat(50), fc.constantFrom("transient" as const, "ambiguous" as const), (maxRetries, kind) => {
        const rules = { ...policy, maxRetries };
        let attempt = 1;
        while (decide(attempt, { kind, reason }, rules, 0).kind !== "dead") attempt += 1;
        return attempt === maxRetries + 1;
      }),
    );
  });
});

describe("the delay before a retry", () => {
  const schedule = { ...policy, retryDelaysMs: [30_000, 120_000, 300_000] };

  test("is the schedule's, and its last one repeats", () => {
    expect([1, 2, 3, 4, 99].map((retry) => retryDelayMs(retry, schedule, 0))).toEqual([
      30_000, 120_000, 300_000, 300_000, 300_000,
    ]);
  });

  test("grows by at most a tenth through jitter, and never shrinks", () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), random, (retry, jitter) => {
        const base = retryDelayMs(retry, schedule, 0);
        const delay = retryDelayMs(retry, schedule, jitter);
        return delay >= base && delay <= base * 1.1 && Number.isInteger(delay);
      }),
    );
    expect(retryDelayMs(1, schedule, 0.5)).toBe(31_500);
  });
});

describe("the fingerprint of a reason", () => {
  const alike: [string, string, string][] = [
    ["addresses", "550 5.1.1 <an@example.com>: unknown", "550 5.1.1 <binh.le+x@mail.example.org>: unknown"],
    ["bare addresses", "550 5.1.1 an@example.com unknown", "550 5.1.1 b@example.org unknown"],
    ["queue ids", "451 4.3.0 4F2A1B3C4D is stuck", "451 4.3.0 9Z8Y7X6W5V is stuck"],
    [
      "message ids",
      "the mail msg_01hx7w3k4m5n6p7q8r9s0t1v2w00 broke",
      "the mail msg_01hx7w3k4m5n6p7q8r9s0t1v2x00 broke",
    ],
    ["large numbers", "552 5.3.4 size 10485761 is over 10485760", "552 5.3.4 size 20971520 is over 10485760"],
    [
      "short numbers",
      "451 4.7.1 greylisted, try again in 298 seconds",
      "451 4.7.1 greylisted, try again in 12 seconds",
    ],
    ["IP addresses", "554 5.7.1 client [203.0.113.7] is blocked", "554 5.7.1 client [198.51.100.23] is blocked"],
    ["capitals and spaces", "550 5.1.1  User unknown ", "550 5.1.1 user UNKNOWN"],
  ];
  test.each(alike)("is the same for other %s", (_what, one, other) => {
    expect(fingerprint(one)).toBe(fingerprint(other));
  });

  const apart: [string, string, string][] = [
    ["another reply code", "550 rejected", "552 rejected"],
    ["another enhanced status code", "550 5.1.1 rejected", "550 5.7.1 rejected"],
    ["another cause", "550 5.1.1 user unknown", "550 5.1.1 user disabled"],
  ];
  test.each(apart)("differs for %s", (_what, one, other) => {
    expect(fingerprint(one)).not.toBe(fingerprint(other));
  });

  test("is short, the same everywhere, and fit for a URL", () => {
    expect(fingerprint("550 5.1.1 user unknown")).toBe(fingerprint("550 5.1.1 user unknown"));
    fc.assert(fc.property(fc.string(), (text) => /^[0-9a-f]{12}$/.test(fingerprint(text))));
  });

  test("takes a time that a relay's words do not blow up", () => {
    const startedAt = performance.now();
    for (const hostile of ["a1-", "<", "x@", "1_", " ", "1."]) {
      for (let i = 0; i < 10; i++) fingerprint(hostile.repeat(1_000).slice(0, 500));
    }
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
