import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { createHttpStore } from "../../src/booking/http.ts";
import type { BookingStore } from "../../src/booking/store.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { type Endpoint, json, reply, startEndpoint } from "./endpoint.ts";

const KEY = "a-key-for-tests";

let endpoint: Endpoint;
let store: BookingStore;

beforeAll(async () => {
  endpoint = await startEndpoint();
});
beforeEach(() => {
  endpoint.answer = json({ status: "paid" });
  endpoint.asked = [];
  store = open("/bookings/{bookingId}/status?v=2");
});
afterAll(() => endpoint.stop());
failOnLeaks();

function open(template: string, key = KEY): BookingStore {
  return createHttpStore({ urlTemplate: endpoint.origin + template, key, timeoutMs: 5_000, now: Date.now });
}

function label(): string {
  return new URL(endpoint.origin).host;
}

describe("the answer of a team's endpoint", () => {
  test.each(["paid", "pending", "cancelled"] as const)("%s is taken", async (status) => {
    endpoint.answer = json({ status, more: { of: "their own" } });
    expect(await store.statusOf("BK-1")).toEqual({ kind: status });
  });

  test("404 means that there is no such booking, whatever its body says", async () => {
    endpoint.answer = reply("404 Not Found", '{"status":"paid"}', "content-type: application/json");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "not_found" });
  });

  test.each([
    ["500 Internal Server Error", "it answered 500"],
    ["503 Service Unavailable", "it answered 503"],
    ["401 Unauthorized", "it answered 401"],
    ["410 Gone", "it answered 410"],
    ["201 Created", "it answered 201"],
    ["302 Found", "it answered 302, and redirects are not followed"],
    ["308 Permanent Redirect", "it answered 308, and redirects are not followed"],
  ])("%s says nothing about the booking, though its body is fine", async (status, fault) => {
    endpoint.answer = reply(status, '{"status":"paid"}', `location: ${endpoint.origin}/elsewhere`);
    expect(await store.statusOf("BK-1")).toEqual({ kind: "unavailable", reason: `${label()}: ${fault}` });
    expect(endpoint.asked).toHaveLength(1);
  });

  test.each([
    ["<!doctype html>\n<p>Sign in</p>", 'it answered with what is not JSON: "<!doctype html>\\n<p>Sign in</p>"'],
    ['{"status":"pa', 'it answered with what is not JSON: "{\\"status\\":\\"pa"'],
    ["", 'it answered with what is not JSON: ""'],
    ["null", "it answered null, must be an object with a status"],
    ['"paid"', 'it answered "paid", must be an object with a status'],
    ["[]", "it answered [], must be an object with a status"],
    ["{}", "it answered {}, must be an object with a status"],
    ['{"status":"shipped"}', 'the status is "shipped", must be paid, pending or cancelled'],
    ['{"status":true}', "the status is true, must be paid, pending or cancelled"],
    ['{"status":["paid"]}', 'the status is ["paid"], must be paid, pending or cancelled'],
  ])("%j in a 200 makes no sense, and the reason says why", async (body, fault) => {
    endpoint.answer = reply("200 OK", body, "content-type: application/json");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "unavailable", reason: `${label()}: ${fault}` });
  });
});

describe("the request", () => {
  test("has the id in its place, as bytes on the wire", async () => {
    for (const id of ["BK-1042", "../../admin", "..%2fadmin", "a?b#c", "it's"]) await store.statusOf(id);
    expect(endpoint.asked.map(({ line }) => line)).toEqual([
      "GET /bookings/BK-1042/status?v=2 HTTP/1.1",
      "GET /bookings/..%2F..%2Fadmin/status?v=2 HTTP/1.1",
      "GET /bookings/..%252fadmin/status?v=2 HTTP/1.1",
      "GET /bookings/a%3Fb%23c/status?v=2 HTTP/1.1",
      "GET /bookings/it%27s/status?v=2 HTTP/1.1",
    ]);
    expect(new Set(endpoint.asked.map(({ headers }) => headers["host"]))).toEqual(new Set([label()]));
  });

  test("is not made for an id that no path can carry: there is no such booking", async () => {
    expect(await store.statusOf("..")).toEqual({ kind: "not_found" });
    expect(endpoint.asked).toEqual([]);
  });

  test.each([
    ["a key", KEY, Buffer.from(KEY)],
    ["a whsec_ key", "whsec_bXkgb3duIGtleQ==", Buffer.from("my own key")],
  ])("is signed with %s, so that Standard Webhooks verifies its path and query", async (_, key, secret) => {
    await open("/bookings/{bookingId}/status?v=2", key).statusOf("BK/1");
    const headers = endpoint.asked[0]?.headers ?? {};
    const verify = (signed: string, by: Uint8Array) =>
      new Webhook(by, { format: "raw" }).verify(signed, headers, { jsonParse: false });
    expect(() => verify("/bookings/BK%2F1/status?v=2", secret)).not.toThrow();
    expect(() => verify("/bookings/BK%2F2/status?v=2", secret)).toThrow("No matching signature");
    expect(() => verify("/bookings/BK%2F1/status?v=2", Buffer.from("another"))).toThrow("No matching signature");
  });

  test("has an id of its own and the time of the clock that was given", async () => {
    const now = Date.UTC(2026, 10, 24, 9, 30) + 999;
    const urlTemplate = `${endpoint.origin}/{bookingId}`;
    const dated = createHttpStore({ urlTemplate, key: KEY, timeoutMs: 5_000, now: () => now });
    await dated.statusOf("BK-1");
    await dated.statusOf("BK-1");
    const [first, second] = endpoint.asked.map(({ headers }) => headers);
    expect(first?.["webhook-timestamp"]).toBe("1795512600");
    expect(first?.["webhook-id"]).toMatch(/^chk_[0-9a-f-]{36}$/);
    expect(second?.["webhook-id"]).not.toBe(first?.["webhook-id"] ?? "");
  });
});
