/* The signed POST for a new kind of dead letter, at a real server that checks it as a team would. */
import { describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { createAlert } from "../src/alert.ts";
import { cleanUpAfterEach } from "./support/cleanups.ts";
import { eventWith } from "./support/event.ts";
import { keepLines } from "./support/log.ts";
import { serviceOn, setUp } from "./support/surroundings.ts";
import { until } from "./support/until.ts";

const KEY = "an-alert-key";
const KIND = {
  messageId: "msg_1",
  eventId: "evt_1",
  fingerprint: "3f1c0d9a77be",
  reason: "550 5.1.1 <an@example.com> no such user",
};

const cleanups = cleanUpAfterEach();

interface Received {
  id: string;
  body: { type: string; timestamp: string; data: Record<string, string> };
}

/** Answers with these statuses, then with 204. */
function startReceiver(...statuses: number[]) {
  const received: Received[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const text = await request.text();
      // Throws when the signature is not right: then the test sees no alert.
      new Webhook(Buffer.from(KEY), { format: "raw" }).verify(text, Object.fromEntries(request.headers));
      received.push({ id: request.headers.get("webhook-id") ?? "", body: JSON.parse(text) });
      return new Response(null, { status: statuses.shift() ?? 204 });
    },
  });
  cleanups.push(() => server.stop(true));
  return { url: `${server.url.href}hook`, received };
}

function alertTo(url: string, plain = false) {
  const { log, lines } = keepLines();
  const alert = createAlert({ url, key: Buffer.from(KEY), plain, log, retryDelaysMs: [1, 1] });
  return { alert, lines };
}

describe("an alert", () => {
  test("is signed, and says what died and why, addresses masked", async () => {
    const { url, received } = startReceiver();
    alertTo(url).alert(KIND);
    await until("it is there", () => received.length === 1);
    const [{ body }] = received as [Received];
    expect(body.type).toBe("dead_letter.new_kind");
    expect(Math.abs(Date.parse(body.timestamp) - Date.now())).toBeLessThan(10_000);
    expect(body.data).toEqual({ ...KIND, reason: "550 5.1.1 <a***@example.com> no such user" });
    alertTo(url, true).alert(KIND);
    await until("the plain one is there", () => received.length === 2);
    expect(received[1]?.body.data).toEqual(KIND);
  });

  test("is tried again under the same id until it is taken", async () => {
    const { url, received } = startReceiver(500, 302);
    const { alert, lines } = alertTo(url);
    alert(KIND);
    await until("it was taken", () => received.length === 3);
    expect(new Set(received.map(({ id }) => id)).size).toBe(1);
    expect(lines).toEqual([]);
  });

  test.each([
    ["refuses it", () => startReceiver(500, 500, 500).url],
    ["is not there", () => "http://127.0.0.1:1/hook"],
  ])("is given up with a line in the log when its receiver %s", async (_, receiver) => {
    const { alert, lines } = alertTo(receiver());
    alert(KIND);
    await until("it is given up", () => lines.length > 0);
    expect(lines).toMatchObject([{ msg: "alert not delivered", messageId: "msg_1", fingerprint: "3f1c0d9a77be" }]);
  });

  test("comes from the service once for each kind", async () => {
    const { url, received } = startReceiver();
    const on = await setUp(cleanups, {
      rcpt: ["550 5.1.1 no such user", "550 5.1.1 no such user", "552 5.3.4 too large"],
    });
    const service = await serviceOn(cleanups, on, { ALERT_URL: url, ALERT_KEY: KEY });
    for (const id of ["evt_1", "evt_2", "evt_3"]) {
      await service.post(eventWith(id));
      await service.line(({ msg, eventId }) => msg === "message dead" && eventId === id);
      await until("its kind is told of", () => received.length > 0);
    }
    await until("both kinds are there", () => received.length === 2);
    expect(received.map(({ body }) => body.data["eventId"])).toEqual(["evt_1", "evt_3"]);
    expect(received[0]?.body.data["reason"]).toBe("550 5.1.1 no such user");
  });
});
