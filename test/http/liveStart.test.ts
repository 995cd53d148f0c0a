/* The live feed on a real Redis: where it begins. */
import { expect, test } from "bun:test";
import { connect } from "../../src/stream/connect.ts";
import { createFeed } from "../../src/stream/feed.ts";
import { accepted, onRedis } from "../stream/fixture.ts";
import { eventWith } from "../support/event.ts";
import { until } from "../support/until.ts";
import { asAdmin, harness } from "./support.ts";

const on = onRedis("--appendonly", "no");

async function open(partitions: number, lastEventId?: string) {
  const feed = createFeed(() => connect(on.server.address, "blocking"), partitions);
  const headers = { ...asAdmin, ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) };
  const response = await harness({ feed }).app.request("/v1/live", { headers });
  expect(response.status).toBe(200);
  const seen = { text: "", cancel: () => reader.cancel() };
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  void (async () => {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      seen.text += decoder.decode(read.value, { stream: true });
    }
  })();
  return seen;
}

async function post(id: string, partitions: number): Promise<string> {
  return accepted(await on.ingress({ partitions }).post(eventWith(id))).messageId;
}

test.each([1, 4])("what is posted right after the 200 is seen, over %d partitions", async (partitions) => {
  for (let i = 0; i < 12; i++) {
    const stream = await open(partitions);
    const first = await post(`evt_${i}`, partitions);
    await until("it is seen", () => stream.text.includes(first));
    await stream.cancel();
  }
});

test("a stream on which nothing came can be gone on from", async () => {
  const idle = await open(4);
  await until("it has an id", () => idle.text.endsWith("\n\n"));
  const id = /^id: (\S+)\n/.exec(idle.text)?.[1];
  await idle.cancel();
  const missed = await post("evt_missed", 4);
  const next = await open(4, id);
  await until("what came meanwhile is seen", () => next.text.includes(missed));
  await next.cancel();
});
