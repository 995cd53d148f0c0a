/* The relay took an attempt whose owner was lost before it could say so: what is not begun again need not be. */
import { describe, expect, test } from "bun:test";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { tagOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { attest, sent } from "../../src/stream/settle.ts";
import { promote } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { accepted, DAY_MS, onRedis, postAndTake, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");

async function stateOf(messageId: string): Promise<string | undefined> {
  return (await createMessages(on.redis, 1).byId(messageId))?.state;
}

describe("attesting", () => {
  test("sends nothing again that was reclaimed and is only queued", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" });
    expect(await sent(on.redis, TAG, "a", DAY_MS, [{ ...claim, reply: "250 ok" }])).toEqual([false]);
    expect(await attest(on.redis, TAG, claim.messageId, claim.attempt, "250 ok", DAY_MS)).toBe(true);
    expect(await stateOf(claim.messageId)).toBe("sent");
    expect(await takeAll(on.redis, "b")).toEqual([]);
    expect((await promote(on.redis, TAG, 10)).messages).toEqual([]);
  });

  test("takes a held one off the dead letters", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "hold" });
    expect(await attest(on.redis, TAG, claim.messageId, claim.attempt, "250 ok", DAY_MS)).toBe(true);
    expect(await createDeadLetters(on.redis, 1, DAY_MS).groups()).toEqual([]);
    expect(await stateOf(claim.messageId)).toBe("sent");
  });

  test("does not touch one that was corrected since: what the relay took went to another address", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "hold" });
    const dead = createDeadLetters(on.redis, 1, DAY_MS);
    expect(await dead.replay(claim.messageId, { recipient: "right@example.com" })).toBe("replayed");
    expect(await attest(on.redis, TAG, claim.messageId, claim.attempt, "250 ok", DAY_MS)).toBe(false);
    const [again] = await takeAll(on.redis, "b");
    if (again === undefined) throw new Error("nothing to take");
    await reclaim(on.redis, TAG, { of: "b" }, 0, { maxRetries: 3, onUnknown: "resend" });
    expect(await attest(on.redis, TAG, again.messageId, claim.attempt, "250 ok", DAY_MS)).toBe(false);
    expect(await attest(on.redis, TAG, again.messageId, again.attempt, "250 ok", DAY_MS)).toBe(true);
  });

  test("does not touch a message that Redis knows no attempt of, since it has lost the take", async () => {
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    expect(await attest(on.redis, TAG, messageId, 1, "250 ok", DAY_MS)).toBe(false);
    expect(await stateOf(messageId)).toBe("queued");
  });

  test("does not touch another attempt that is under way, nor one that was never begun", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" });
    expect(await attest(on.redis, TAG, claim.messageId, 7, "250 ok", DAY_MS)).toBe(false);
    await takeAll(on.redis, "b");
    expect(await attest(on.redis, TAG, claim.messageId, claim.attempt, "250 ok", DAY_MS)).toBe(false);
    expect(await stateOf(claim.messageId)).toBe("sending");
  });
});
