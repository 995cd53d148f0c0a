import { describe, expect, test } from "bun:test";
import { Hono } from "hono";
import { liveHandler } from "../../src/http/live.ts";
import type { Transition } from "../../src/stream/store.ts";
import { asAdmin, harness, NOW } from "./support.ts";

const queued: Transition = { id: "5-0", at: NOW, messageId: "msg_1", state: "queued" };

function readerOf(response: Response) {
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let text = "";
  return {
    /** Reads until the text has come, and gives all there was up to then. */
    async until(expected: string): Promise<string> {
      while (!text.includes(expected)) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`ended without ${expected}: ${text.slice(0, 500)}`);
        text += decoder.decode(value, { stream: true });
      }
      return text;
    },
    async toEnd(): Promise<void> {
      while (!(await reader.read()).done);
    },
    cancel: () => reader.cancel(),
  };
}

/** Resolves once the pump has noticed: it is woken, never polled. */
async function unfollowed(followers: Set<unknown>): Promise<void> {
  while (followers.size > 0) await new Promise((resolve) => setImmediate(resolve));
}

describe("the live feed", () => {
  test("sends each transition as an event with its id", async () => {
    const h = harness();
    const response = await h.app.request("/v1/live", { headers: asAdmin });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    const reader = readerOf(response);
    expect(await reader.until("\n\n")).toBe("id: 4-0\nretry: 2000\n\n");
    const [send] = h.followers;
    send?.(queued);
    send?.({ ...queued, id: "6-0", state: "deferred", attempt: 1, reason: "451 busy\r\nid: 7" });
    const text = await reader.until("id: 6-0\n\n");
    expect(text).toContain(
      'event: transition\ndata: {"at":"2026-11-24T09:30:00.000Z","messageId":"msg_1","state":"queued","reason":"due"}\nid: 5-0\n\n',
    );
    expect(text).toContain('"state":"deferred","attempt":1,"reason":"451 busy\\r\\nid: 7"}\n');
    await reader.cancel();
    await unfollowed(h.followers);
  });

  test("goes on from the Last-Event-ID", async () => {
    const h = harness();
    const reader = readerOf(await h.app.request("/v1/live", { headers: { ...asAdmin, "last-event-id": "4-0" } }));
    expect(await reader.until("\nid: after 4-0\n\n")).toContain("event: transition");
    await reader.cancel();
    await unfollowed(h.followers);
  });

  test("answers HEAD without following", async () => {
    const h = harness();
    const response = await h.app.request("/v1/live", { method: "HEAD", headers: asAdmin });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    expect(await response.text()).toBe("");
    expect(h.followers.size).toBe(0);
    expect((await h.app.request("/v1/live", { method: "HEAD" })).status).toBe(401);
  });

  test("is open while Redis is away, and sends what comes later", async () => {
    const h = harness();
    const { follow } = h.deps.feed;
    h.deps.feed.follow = (since, on) => follow(since, on);
    const reader = readerOf(await h.app.request("/v1/live", { headers: asAdmin }));
    expect(await reader.until("\n\n")).toBe("retry: 2000\n\n");
    for (const send of h.followers) send(queued);
    await reader.until("id: 5-0\n\n");
    await reader.cancel();
    await unfollowed(h.followers);
  });

  test("is followed no longer when a real client goes away before it is answered", async () => {
    const h = harness();
    const { follow } = h.deps.feed;
    const followed = Promise.withResolvers<void>();
    let begin = (_position: string) => {};
    h.deps.feed.follow = (since, on, began) => {
      begin = began ?? begin;
      followed.resolve();
      return follow(since, on);
    };
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: h.app.fetch });
    const abort = new AbortController();
    const response = fetch(new URL("/v1/live", server.url), { headers: asAdmin, signal: abort.signal });
    await followed.promise;
    abort.abort();
    await response.catch(() => {});
    begin("4-0");
    await unfollowed(h.followers);
    await server.stop(true);
  });

  test("says that it is still there while nothing happens", async () => {
    const h = harness();
    const app = new Hono().get("/live", liveHandler(h.deps.feed, 1));
    const reader = readerOf(await app.request("/live"));
    await reader.until(": still here\n\n: still here\n\n");
    await reader.cancel();
    await unfollowed(h.followers);
  });

  test("cuts off a reader that is far too slow", async () => {
    const h = harness();
    const response = await h.app.request("/v1/live", { headers: asAdmin });
    const [send] = h.followers;
    for (let i = 0; i <= 10_001; i++) send?.(queued);
    expect(h.followers.size).toBe(0);
    await readerOf(response).toEnd();
  });

  test("is followed no longer when a real client goes away", async () => {
    const h = harness();
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: h.app.fetch });
    const abort = new AbortController();
    const response = await fetch(new URL("/v1/live", server.url), { headers: asAdmin, signal: abort.signal });
    await readerOf(response).until("retry:");
    expect(h.followers.size).toBe(1);
    abort.abort();
    await unfollowed(h.followers);
    await server.stop(true);
  });
});
