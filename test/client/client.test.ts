/* What each method asks of the service. */
import { describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { type Client, createClient, type Event } from "../../src/client/client.ts";
import { parseEvent } from "../../src/types/parse.ts";
import type { PaymentCompleted } from "../../src/types/payment.completed/event.ts";
import type { PaymentRefunded } from "../../src/types/payment.refunded/event.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { type FakeService, jsonOf, problem, type Received, type Step, startFake } from "./server.ts";

const cleanups = cleanUpAfterEach();
failOnLeaks();

const KEY = "test-ingest-key";
const { type, ...event } = eventWith("evt_1", { delayMs: 5 });

async function against(steps: Step[] = [], path = ""): Promise<[Client, FakeService]> {
  const service = await startFake(steps);
  cleanups.push(() => service.stop());
  return [createClient({ url: service.url + path, key: KEY }), service];
}

function expectSigned({ headers, body }: Received, id: string): void {
  expect(headers).toMatchObject({ "webhook-id": id, "content-type": "application/json" });
  const verifier = new Webhook(Buffer.from(KEY), { format: "raw" });
  expect(() => verifier.verify(body, headers, { jsonParse: false })).not.toThrow();
}

describe("an event", () => {
  const posts: [string, (client: Client) => Promise<unknown>, Record<string, unknown>][] = [
    ["post sends it as it is", (client) => client.post({ type: "payment.completed", ...event }), { type, ...event }],
    ["paymentCompleted adds the type", (client) => client.paymentCompleted(event), { type, ...event }],
    [
      "paymentRefunded adds the type",
      (client) => client.paymentRefunded({ ...event, data: { ...event.data, refund: { amount: 1 } } }),
      { ...event, type: "payment.refunded", data: { ...event.data, refund: { amount: 1 } } },
    ],
    [
      "hold makes it wait, and keeps its other options",
      (client) => client.hold({ type: "payment.completed", ...event }),
      { type, ...event, options: { delayMs: 5, hold: true } },
    ],
  ];
  test.each(posts)("%s", async (_, post, body) => {
    const [client, service] = await against();
    expect(await post(client)).toMatchObject({ id: "msg_1", eventId: "evt_1", durability: "fsynced" });
    expect(service.received).toHaveLength(1);
    const request = service.received[0] as Received;
    expect([request.method, request.path, jsonOf(request)]).toEqual(["POST", "/v1/events", body]);
    expectSigned(request, "evt_1");
    expect(parseEvent(jsonOf(request))).toMatchObject({ ok: true });
  });

  test("has a type here that takes the service's normal form, and what stands for absent beside it", () => {
    const toClient = (one: PaymentCompleted | PaymentRefunded): Event => one;
    const posted = toClient(eventWith("evt_1"));
    const booking = { ...posted.data.booking, title: null, startsAt: undefined };
    const spare: Event = { ...posted, occurredAt: null, data: { ...posted.data, booking }, options: null };
    expect(parseEvent(spare)).toMatchObject({ ok: true, event: { id: "evt_1" } });
  });

  test("goes below the path of the service's URL", async () => {
    for (const path of ["/mail", "/mail/"]) {
      const [client, service] = await against([], path);
      await client.paymentCompleted(event);
      expect(service.received[0]?.path).toBe("/mail/v1/events");
    }
  });
});

describe("a decision", () => {
  const decisions: [string, string, (client: Client) => Promise<unknown>][] = [
    ["commit", "committed", async (client) => (await client.hold({ type: "payment.completed", ...event })).commit()],
    [
      "rollback",
      "cancelled",
      async (client) => (await client.hold({ type: "payment.completed", ...event })).rollback(),
    ],
    ["commit", "committed", (client) => client.commit("evt_1")],
    ["rollback", "cancelled", (client) => client.rollback("evt_1")],
  ];
  test.each(decisions)(
    "to %s answers %s; its empty body is signed, with the decision in the id",
    async (verb, result, decide) => {
      const [client, service] = await against();
      expect(await decide(client)).toMatchObject({ id: "msg_1", eventId: "evt_1", result });
      const request = service.received.at(-1) as Received;
      expect([request.method, request.path, request.body.length]).toEqual(["POST", `/v1/events/evt_1/${verb}`, 0]);
      expectSigned(request, `evt_1/${verb}`);
    },
  );

  test("about an id with slashes and per cents stays in its place of the path", async () => {
    const [client, service] = await against();
    await client.commit("a/../b%?#");
    expect(service.received[0]?.path).toBe("/v1/events/a%2F..%2Fb%25%3F%23/commit");
  });
});

describe("message", () => {
  test("asks with the key", async () => {
    const [client, service] = await against();
    expect(await client.message("evt/1")).toMatchObject({ id: "msg_1", state: "sent" });
    const { method, path, headers } = service.received[0] as Received;
    expect([method, path, headers["authorization"]]).toEqual(["GET", "/v1/events/evt%2F1", `Bearer ${KEY}`]);
  });

  test("is undefined for an event that the service does not know", async () => {
    const [client] = await against([problem(404, "There is no such thing")]);
    expect(await client.message("evt_1")).toBeUndefined();
  });
});

describe("createClient refuses", () => {
  const wrong: [string, string, string][] = [
    ["a URL that is none", "localhost", KEY],
    ["a URL of another protocol", "redis://127.0.0.1", KEY],
    ["a key that cannot sign", "http://127.0.0.1", "whsec_"],
  ];
  test.each(wrong)("%s", (_, url, key) => {
    expect(() => createClient({ url, key })).toThrow(TypeError);
  });
});
