/* What a paid event may look like, from the post to the relay, through the service as its users start it. */
import { expect, test } from "bun:test";
import { createClient } from "../../src/client/client.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { INGEST_KEY } from "../support/service.ts";
import { serviceOn, setUp } from "../support/surroundings.ts";
import { until } from "../support/until.ts";

const cleanups = cleanUpAfterEach();

/** An address as it is posted, and as the relay is told it. */
const ADDRESSES: [string, string][] = [
  ["tran..an@docomo.ne.jp", '"tran..an"@docomo.ne.jp'],
  ['"tran.an."@docomo.ne.jp', '"tran.an."@docomo.ne.jp'],
  ['"an smith"@example.com', '"an smith"@example.com'],
  ['"a\\"n"@example.com', '"a\\"n"@example.com'],
  ["an@việt.example", "an@xn--vit-5kz.example"],
  ["An <an+hn@Example.COM>", "an+hn@example.com"],
];

test("each address that is taken is what the relay is told, and what the mail is found by", async () => {
  const on = await setUp(cleanups);
  const service = await serviceOn(cleanups, on);
  for (const [i, [given]] of ADDRESSES.entries()) {
    const response = await service.post(eventWith(`đơn ${i}`, { delayMs: 0 }, given));
    expect([given, response.status]).toEqual([given, 202]);
  }
  await on.relay.until(({ received }) => received.length === ADDRESSES.length);
  const told = on.relay.received.map(({ envelope }) => envelope.to[0]);
  expect(told.toSorted()).toEqual(ADDRESSES.map(([, address]) => address).toSorted());
  for (const [i, [given, address]] of ADDRESSES.entries()) {
    for (const asked of [given, address]) {
      const list = (await (await service.get(`/v1/messages?recipient=${encodeURIComponent(asked)}`)).json()) as {
        items: { eventId: string }[];
      };
      expect(list.items.map(({ eventId }) => eventId)).toEqual([`đơn ${i}`]);
    }
    const one = (await (await service.get(`/v1/events/${encodeURIComponent(`đơn ${i}`)}`)).json()) as {
      recipient: string;
    };
    expect(one.recipient).toBe(address);
  }
});

test("an event that was journaled keeps its notes; one in any script is held, committed and looked up by a client", async () => {
  const on = await setUp(cleanups);
  const service = await serviceOn(cleanups, on);
  const client = createClient({ url: service.url, key: INGEST_KEY });
  const notes = [{ pointer: "/data/customer/locale", detail: "read as vi-VN" }];
  const eventOf = (id: string) => {
    const event = eventWith(id);
    return { ...event, data: { ...event.data, customer: { ...event.data.customer, locale: "vi_VN" } } };
  };
  await on.redis.kill();
  const [kept, held] = [eventOf("đơn n°1"), eventOf("注文 / 2?")];
  expect(await client.post(kept)).toMatchObject({ durability: "journaled", duplicate: false, notes });
  expect(await client.post(kept)).toMatchObject({ durability: "journaled", duplicate: true, notes });
  expect(await client.hold(held)).toMatchObject({ durability: "journaled", notes });
  expect(await client.commit(held.id)).toMatchObject({ eventId: held.id, result: "journaled" });
  await on.redis.start();
  await on.relay.until(({ received }) => received.length === 2);
  for (const { id } of [kept, held]) {
    await until("it is settled", async () => (await client.message(id))?.state === "sent");
    const [first] = (await client.message(id))?.timeline ?? [];
    expect(first?.reason).toBe("posted; /data/customer/locale read as vi-VN");
  }
  expect(await client.rollback(held.id)).toMatchObject({ result: "too_late" });
  expect(await client.post(kept)).toMatchObject({ duplicate: true, notes });
  expect(on.relay.received).toHaveLength(2);
});
