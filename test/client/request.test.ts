/* What the client does when the service is in trouble, over real sockets. */
import { describe, expect, test } from "bun:test";
import { type Client, type ClientOptions, createClient, PostpaidError } from "../../src/client/client.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { type FakeService, jsonOf, problem, type Step, startFake } from "./server.ts";

const cleanups = cleanUpAfterEach();
failOnLeaks();

const event = eventWith("evt_1");

async function against(steps: Step[], options: Partial<ClientOptions> = {}): Promise<[Client, FakeService]> {
  const service = await startFake(steps);
  cleanups.push(() => service.stop());
  return [createClient({ url: service.url, key: "k", random: () => 0, ...options }), service];
}

async function failureOf(call: Promise<unknown>): Promise<PostpaidError> {
  const error: unknown = await call.then(
    (value) => Promise.reject(new Error(`it did not fail: ${JSON.stringify(value)}`)),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(PostpaidError);
  return error as PostpaidError;
}

describe("a call is tried again", () => {
  const passing: [string, Step][] = [
    ["a 500", { status: 500, body: "oops" }],
    ["a 502 of a proxy", { status: 502, body: "<html>" }],
    ["a 503", problem(503, "Nothing can be stored")],
    ["a 429", { status: 429 }],
    ["a connection that was reset", "reset"],
    ["an answer that broke off", "torn"],
    ["a try that got no answer", "hang"],
  ];
  test.each(passing)("after %s, with the same id and the same bytes", async (_, step) => {
    const [client, service] = await against([step, step], { timeoutMs: 100 });
    expect(await client.post(event)).toMatchObject({ id: "msg_1", eventId: "evt_1", durability: "fsynced" });
    expect(service.received).toHaveLength(3);
    for (const { body, headers } of service.received) {
      expect(body.equals(service.received[0]?.body as Buffer)).toBe(true);
      expect(headers["webhook-id"]).toBe("evt_1");
    }
    expect(jsonOf(service.received[2])).toEqual({ ...event });
  });

  test("after nobody listened", async () => {
    const [client, service] = await against([]);
    const calls: number[] = [];
    const failsTwice = Object.assign(
      (...args: Parameters<typeof fetch>) => {
        const target = calls.push(1) <= 2 ? "http://127.0.0.1:1/" : args[0];
        return fetch(target, args[1]);
      },
      { preconnect: fetch.preconnect },
    );
    const stubborn = createClient({ url: service.url, key: "k", random: () => 0, fetch: failsTwice });
    expect(await stubborn.post(event)).toMatchObject({ id: "msg_1" });
    expect(await client.post(event)).toMatchObject({ id: "msg_1" });
    expect(service.received).toHaveLength(2);
  });

  test("with a signature of its own time", async () => {
    let now = 1_800_000_000_000;
    const [client, service] = await against([{ status: 500 }], { now: () => (now += 1_000) });
    await client.post(event);
    const stamps = service.received.map(({ headers }) => Number(headers["webhook-timestamp"]));
    expect(stamps[1]).toBeGreaterThan(stamps[0] as number);
  });

  test("no earlier than Retry-After asks for, in seconds", async () => {
    const [client, service] = await against([{ status: 503, headers: { "retry-after": "1" } }]);
    await client.post(event);
    const [first, second] = service.received.map(({ at }) => at) as [number, number];
    expect(second - first).toBeGreaterThanOrEqual(995);
  });

  test("no earlier than Retry-After asks for, as a date", async () => {
    const now = Date.parse("2026-11-24T09:30:00.000Z");
    const headers = { "retry-after": "Tue, 24 Nov 2026 09:30:01 GMT" };
    const [client, service] = await against([{ status: 503, headers }], { now: () => now });
    await client.post(event);
    const [first, second] = service.received.map(({ at }) => at) as [number, number];
    expect(second - first).toBeGreaterThanOrEqual(995);
  });

  test("later and later, with what chance gives", async () => {
    const [client, service] = await against(["reset", "reset", "reset"], { random: () => 0.5 });
    await client.post(event);
    const at = service.received.map((request) => request.at);
    const gaps = at.slice(1).map((time, i) => time - (at[i] as number));
    for (const [i, least] of [50, 100, 200].entries()) expect(gaps[i]).toBeGreaterThanOrEqual(least - 5);
  });
});

describe("a call ends", () => {
  test("at its deadline, when no try is answered; the error says so, and has the cause", async () => {
    const steps = Array.from({ length: 50 }, (): Step => "hang");
    const [client, service] = await against(steps, { timeoutMs: 100, deadlineMs: 350 });
    const startedAt = performance.now();
    const error = await failureOf(client.post(event));
    const tookMs = performance.now() - startedAt;
    expect([error.kind, error.status]).toEqual(["deadline", undefined]);
    expect((error.cause as Error).name).toBe("TimeoutError");
    expect(tookMs).toBeLessThan(4_000);
    expect(error.tries).toBe(service.received.length);
    expect(service.received.length).toBeLessThanOrEqual(4);
  });

  test("at once when Retry-After reaches beyond the deadline", async () => {
    const [client, service] = await against([{ status: 503, headers: { "retry-after": "60" } }]);
    const startedAt = performance.now();
    const error = await failureOf(client.post(event));
    expect([error.kind, error.status, error.retryAfterMs, error.tries]).toEqual(["unavailable", 503, 60_000, 1]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(service.received).toHaveLength(1);
  });

  test("with no more tries than the back-off leaves room for", async () => {
    const steps = Array.from({ length: 50 }, () => problem(503, "Nothing can be stored"));
    const [client, service] = await against(steps, { deadlineMs: 1_000, random: () => 0.99 });
    const error = await failureOf(client.post(event));
    expect([error.kind, error.tries]).toEqual(["unavailable", 4]); // waits of 99, 198 and 396 ms
    expect(service.received).toHaveLength(4);
  });

  test("when the service cannot be reached", async () => {
    const client = createClient({ url: "http://127.0.0.1:1", key: "k", deadlineMs: 100 });
    const error = await failureOf(client.post(event));
    expect([error.kind, error.status]).toEqual(["unavailable", undefined]);
    expect(error.cause).toBeInstanceOf(Error);
  });
});

describe("an answer that would be the same again", () => {
  const errors = [
    { pointer: "/data/customer/email", detail: 'is "nobody": must be one bare e-mail address' },
    { pointer: "/data/payment/amount", detail: "is missing" },
  ];
  const answers: [string, Step, string, RegExp][] = [
    [
      "an event that is not valid",
      problem(400, "The event is not valid", { errors }),
      "invalid",
      /^The service answered 400: The event is not valid \(\/data\/customer\/email, \/data\/payment\/amount\)$/,
    ],
    ["a wrong key", problem(401, "Credentials are missing or wrong"), "unauthorized", /401: Credentials/],
    ["a proxy that lets nobody through", { status: 403, body: "<html>" }, "unauthorized", /403/],
    ["what is not there", problem(404, "There is no such thing"), "not_found", /404/],
    ["an event that was rolled back", problem(409, "The event was rolled back"), "conflict", /409/],
    ["an id that was used before", problem(422, "The id was used for another event"), "conflict", /422/],
    ["too large a body", problem(413, "The body is too large"), "too_large", /413/],
    ["too large a body for a proxy", { status: 413, body: "<html>" }, "too_large", /413$/],
    ["a page that a proxy does not have", { status: 404, body: "<html>" }, "unexpected", /404$/],
    ["a redirect", { status: 302, headers: { location: "/login" }, body: "" }, "unexpected", /302$/],
    ["a login page", { status: 200, body: "<html>" }, "unexpected", /200$/],
    ["a success without an id", { status: 202, body: {} }, "unexpected", /202$/],
  ];
  test.each(answers)("is not asked for again: %s", async (_, step, kind, message) => {
    const [client, service] = await against([step]);
    const error = await failureOf(client.post(event));
    const { status, body } = step as Exclude<Step, string>;
    expect([error.kind, error.status, error.tries]).toEqual([kind as PostpaidError["kind"], status, 1]);
    expect(error.message).toMatch(message);
    expect(error.cause).toEqual(body);
    expect(service.received).toHaveLength(1);
  });

  test("names each bad field, and keeps the values out of the message", async () => {
    const [client] = await against([problem(400, "The event is not valid", { errors: [...errors, "?", null] })]);
    const error = await failureOf(client.post(event));
    expect(error.problems).toEqual(errors);
    expect(error.message).not.toContain("nobody");
  });
});

describe("what cannot be sent is refused without a try", () => {
  const wrong: [string, (client: Client) => Promise<unknown>, RegExp][] = [
    ["an id that is too long", (client) => client.post({ ...event, id: "đ".repeat(201) }), /id must be printable/],
    ["no id", (client) => client.post({ ...event, id: undefined as unknown as string }), /id must be printable/],
    ["an id that no path keeps", (client) => client.rollback(".."), /id must be printable/],
    ["a commit of a blank id", (client) => client.commit(" "), /id must be printable/],
    [
      "a BigInt",
      (client) => client.post({ ...event, data: { ...event.data, total: 1n } } as typeof event),
      /cannot be written as JSON/,
    ],
  ];
  test.each(wrong)("%s", async (_, call, message) => {
    const [client, service] = await against([]);
    const error = await failureOf(call(client));
    expect([error.kind, error.tries]).toEqual(["invalid", 0]);
    expect(error.message).toMatch(message);
    expect(service.received).toEqual([]);
  });
});
