import { describe, expect, test } from "bun:test";
import { type Attempt, attemptsOf, PRIORITIES, STATES, type TimelineEntry } from "../../src/domain/lifecycle.ts";

/** "sending 1", "deferred 1 451 busy", "queued": a line a ms. */
function timeline(...lines: string[]): TimelineEntry[] {
  return lines.map((line, at) => {
    const [state, attempt, ...reason] = line.split(" ") as [TimelineEntry["state"], ...string[]];
    return {
      at,
      state,
      ...(attempt === undefined ? {} : { attempt: Number(attempt) }),
      ...(reason.length === 0 ? {} : { reason: reason.join(" ") }),
    };
  });
}

describe("the attempts of a message", () => {
  const table: [string, TimelineEntry[], Attempt[]][] = [
    ["are none before the first", timeline("scheduled", "queued"), []],
    ["have one under way", timeline("queued", "sending 1"), [{ n: 1, at: 1 }]],
    [
      "end in what the relay said",
      timeline("queued", "sending 1", "sent 1 250 ok"),
      [{ n: 1, at: 1, outcome: "sent", reply: "250 ok" }],
    ],
    [
      "are one for each time it was taken",
      timeline("queued", "sending 1", "deferred 1 451 busy", "queued", "sending 2", "dead 2 550 no"),
      [
        { n: 1, at: 1, outcome: "deferred", reply: "451 busy" },
        { n: 2, at: 4, outcome: "dead", reply: "550 no" },
      ],
    ],
    [
      "leave out one that was given back before it was tried",
      timeline("queued", "sending 1", "queued", "sending 1", "sent 1"),
      [{ n: 1, at: 3, outcome: "sent" }],
    ],
    [
      "keep one whose worker was lost as unknown",
      timeline("queued", "sending 1", "unknown 1 worker a was lost", "queued", "sending 2", "sent 2 250 ok"),
      [
        { n: 1, at: 1, outcome: "unknown", reply: "worker a was lost" },
        { n: 2, at: 4, outcome: "sent", reply: "250 ok" },
      ],
    ],
    [
      "count the last one once, though it goes from unknown to dead",
      timeline("queued", "sending 1", "unknown 1 lost", "dead 1 lost"),
      [{ n: 1, at: 1, outcome: "unknown", reply: "lost" }],
    ],
    [
      "go on after a replay",
      timeline("sending 1", "dead 1 550 no", "queued", "sending 2", "sent 2"),
      [
        { n: 1, at: 0, outcome: "dead", reply: "550 no" },
        { n: 2, at: 3, outcome: "sent" },
      ],
    ],
    ["leave out one that had no mail to send", timeline("queued", "sending 1", "dead"), []],
    ["are none for one that was dropped by a person", timeline("scheduled", "cancelled"), []],
  ];
  test.each(table)("%s", (_title, lines, attempts) => {
    expect(attemptsOf(lines)).toEqual(attempts);
  });

  test("leave the timeline as it was", () => {
    const lines = timeline("sending 1", "queued", "sending 1", "sent 1");
    const before = structuredClone(lines);
    attemptsOf(lines);
    expect(lines).toEqual(before);
  });
});

test("the states and priorities are those of the outside contract", () => {
  expect([...STATES].sort()).toEqual(
    [
      "bounced",
      "cancelled",
      "dead",
      "deferred",
      "held",
      "queued",
      "scheduled",
      "sending",
      "sent",
      "unknown",
    ].sort() as (typeof STATES)[number][],
  );
  expect(PRIORITIES).toEqual(["critical", "default", "low"]);
});
