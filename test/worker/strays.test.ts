/* What Redis says is ours and nobody here knows. */
import { expect, test } from "bun:test";
import { createMessages } from "../../src/stream/messages.ts";
import { take } from "../../src/stream/take.ts";
import { createStrays, entryKeyOf } from "../../src/worker/strays.ts";
import { onRedis } from "../stream/fixture.ts";
import { eventWith } from "../support/event.ts";
import { keepLines } from "../support/log.ts";

const on = onRedis("--appendonly", "no");
const TAG = "{pp:0}";

test("it is given back, but for what was begun lately, and what is under way however long ago it was begun", async () => {
  for (let n = 0; n < 3; n++) await on.ingress().post(eventWith(`evt_${n}`));
  const taken = await take(on.redis, TAG, "a", 3, [3, 0, 0]);
  const [underWay, lately, stray] = taken as [(typeof taken)[0], (typeof taken)[0], (typeof taken)[0]];
  const strays = createStrays({
    redis: on.redis,
    consumer: "a",
    retentionMs: 86_400_000,
    limit: 10,
    isInFlight: (claim) => entryKeyOf(claim) === entryKeyOf(underWay),
    log: keepLines().log,
  });
  strays.begun(entryKeyOf(underWay));
  for (let n = 0; n < 40_000; n++) strays.begun(entryKeyOf({ ...underWay, entryId: `${n}-0` }));
  strays.begun(entryKeyOf(lately));
  strays.lost(TAG);
  expect(strays.mayBeIn(TAG)).toBe(true);
  await strays.giveBack(TAG);
  expect(strays.mayBeIn(TAG)).toBe(false);
  const messages = createMessages(on.redis, 1);
  const states = await Promise.all(taken.map(async ({ messageId }) => (await messages.byId(messageId))?.state));
  expect(states).toEqual(["sending", "sending", "queued"]);
  expect((await messages.byId(stray.messageId))?.attempt).toBe(0);
});
