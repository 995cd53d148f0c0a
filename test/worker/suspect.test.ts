/* A relay that closes on one message, and a relay that is away: only the first costs the message an attempt. */
import { expect, test } from "bun:test";
import { eventWith } from "../support/event.ts";
import type { FakeRelay, RelayScript, Step } from "../support/relay.ts";
import { onPipeline } from "./fixture.ts";

const POLICY = { maxRetries: 3, retryDelaysMs: [60_000], onUnknown: "resend" } as const;

const on = onPipeline();
let relay: FakeRelay;

async function start(script: RelayScript): Promise<void> {
  relay = await on.relayWith(script);
  await on.pipeline.startWorker(relay.url, { policy: POLICY });
}

test.each(["rcpt", "dot"] as const)(
  "a message that is answered 421 at %s for the fourth time is deferred, and holds nothing back",
  async (place) => {
    const closing: Step = "421 4.7.0 not this one";
    await start({ [place]: [closing, closing, closing, closing] });
    const id = await on.pipeline.post(eventWith("evt_1"));
    const deferred = await on.pipeline.entered(id, "deferred");
    expect(deferred.attempt).toBe(1);
    expect(relay.commands.filter((line) => line.startsWith("MAIL"))).toHaveLength(4);
    const low = await on.pipeline.post(eventWith("evt_2", { priority: "low" }));
    await on.pipeline.entered(low, "sent", 1);
    expect(await on.statesOf(id)).not.toContain("dead");
  },
  30_000,
);

test.each([
  ["turns every connection away", { greeting: Array<Step>(4).fill("421 4.3.2 not now") }],
  ["refuses our sender or our credentials", { mail: Array<Step>(4).fill("530 5.7.0 authentication required") }],
])(
  "a relay that %s costs no attempt, however often it does",
  async (_what, script) => {
    await start(script);
    const id = await on.pipeline.post(eventWith("evt_1"));
    await on.pipeline.entered(id, "sent", 1);
    expect(await on.statesOf(id)).not.toContain("deferred");
  },
  30_000,
);
