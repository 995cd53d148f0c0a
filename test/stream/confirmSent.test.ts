/* The relay took an attempt whose owner was lost before it could say so: what is not begun again need not be. */
import { describe, expect, test } from "bun:test";
import { createDeadLetters } from "../../src/stream/dead.ts";
import { tagOf } from "../../src/stream/keys.ts";
import { reclaim } from "../../src/stream/lease.ts";
import { createMessages } from "../../src/stream/messages.ts";
import { confirmSent, settle } from "../../src/stream/settle.ts";
import { promote } from "../../src/stream/take.ts";
import { eventWith } from "../support/event.ts";
import { accepted, DAY_MS, onRedis, owner, postAndTake, takeAll } from "./fixture.ts";

const TAG = tagOf(0);
const on = onRedis("--appendonly", "no");

const NEVER_TAKEN = { tag: TAG, rank: "0", entryId: "1-1", attempt: 1 };

async function stateOf(messageId: string): Promise<string | undefined> {
  return (await createMessages(on.redis, 1).byId(messageId))?.state;
}

describe("a late 250", () => {
  test("sends nothing again that was reclaimed and is only queued", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" });
    expect(await settle(owner(on.redis, TAG, "a"), "sent", [{ ...claim, reply: "250 ok" }])).toEqual([false]);
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...claim, reply: "250 ok" })).toBe(true);
    expect(await stateOf(claim.messageId)).toBe("sent");
    expect(await takeAll(on.redis, "b")).toEqual([]);
    expect((await promote(on.redis, TAG, 10)).messages).toEqual([]);
  });

  test("takes a held one off the dead letters", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "hold" });
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...claim, reply: "250 ok" })).toBe(true);
    expect(await createDeadLetters(on.redis, 1, DAY_MS).groups()).toEqual([]);
    expect(await stateOf(claim.messageId)).toBe("sent");
  });

  test("does not touch one that was corrected since: what the relay took went to another address", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "hold" });
    const dead = createDeadLetters(on.redis, 1, DAY_MS);
    expect(await dead.replay(claim.messageId, { recipient: "right@example.com" })).toBe("replayed");
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...claim, reply: "250 ok" })).toBe(false);
    const [again] = await takeAll(on.redis, "b");
    if (again === undefined) throw new Error("nothing to take");
    await reclaim(on.redis, TAG, { of: "b" }, 0, { maxRetries: 3, onUnknown: "resend" });
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...again, attempt: claim.attempt, reply: "250 ok" })).toBe(
      false,
    );
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...again, reply: "250 ok" })).toBe(true);
  });

  test("does not touch a message that Redis knows no attempt of, since it has lost the take", async () => {
    const { messageId } = accepted(await on.ingress().post(eventWith("evt_1")));
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...NEVER_TAKEN, messageId, reply: "250 ok" })).toBe(false);
    expect(await stateOf(messageId)).toBe("queued");
  });

  test("does not touch another attempt that is under way, nor one that was never begun", async () => {
    const claim = await postAndTake(on, "evt_1", "a");
    await reclaim(on.redis, TAG, { of: "a" }, 0, { maxRetries: 3, onUnknown: "resend" });
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...claim, attempt: 7, reply: "250 ok" })).toBe(false);
    await takeAll(on.redis, "b");
    expect(await confirmSent(owner(on.redis, TAG, "a"), { ...claim, reply: "250 ok" })).toBe(false);
    expect(await stateOf(claim.messageId)).toBe("sending");
  });
});
