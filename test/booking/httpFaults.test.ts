import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { createHttpStore } from "../../src/booking/http.ts";
import type { BookingStatus, BookingStore } from "../../src/booking/store.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { until } from "../support/until.ts";
import { type Answer, type Endpoint, json, startEndpoint } from "./endpoint.ts";

const TIMEOUT_MS = 250;
const HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

let endpoint: Endpoint;
let store: BookingStore;
let timers: ReturnType<typeof setInterval>[];

beforeAll(async () => {
  endpoint = await startEndpoint();
});
beforeEach(() => {
  timers = [];
  endpoint.answer = json({ status: "paid" });
  store = open(`${endpoint.origin}/{bookingId}`);
});
afterEach(() => {
  for (const timer of timers) clearInterval(timer);
});
afterAll(() => endpoint.stop());
failOnLeaks();

function open(urlTemplate: string, timeoutMs = TIMEOUT_MS): BookingStore {
  return createHttpStore({ urlTemplate, key: "k", timeoutMs, now: Date.now });
}

/** Writes `piece` every few milliseconds, for as long as somebody listens. */
function drip(piece: string): (socket: Socket) => void {
  return (socket) => {
    const timer = setInterval(() => socket.write(piece), 5);
    timers.push(timer);
    socket.on("close", () => clearInterval(timer));
  };
}

async function timed(answer: Promise<BookingStatus>): Promise<{ status: BookingStatus; tookMs: number }> {
  const begunAt = performance.now();
  const status = await answer;
  return { status, tookMs: performance.now() - begunAt };
}

const unavailable = (fault: string): BookingStatus => ({
  kind: "unavailable",
  reason: `${new URL(endpoint.origin).host}: ${fault}`,
});

describe("an endpoint that is too slow is left in time, and its connection closed:", () => {
  const slow: [string, Answer][] = [
    ["it says nothing", () => undefined],
    ["it stops in its headers", HEAD],
    [
      "it never comes to the end of its headers",
      (socket) => drip("x-more: 1\r\n")(socket.write(HEAD) ? socket : socket),
    ],
    ["it sends its headers and no body", `${HEAD}content-length: 17\r\n\r\n`],
    ["it stops in the middle of its body", `${HEAD}content-length: 17\r\n\r\n{"status":`],
    ["it stops between two chunks", `${HEAD}transfer-encoding: chunked\r\n\r\na\r\n{"status":\r\n`],
    [
      "it sends a body in drops",
      (socket) => drip(" ")(socket.write(`${HEAD}content-length: 9999\r\n\r\n`) ? socket : socket),
    ],
  ];
  test.each(slow)("%s", async (_, answer) => {
    endpoint.answer = answer;
    const { status, tookMs } = await timed(store.statusOf("BK-1"));
    expect(status).toEqual(unavailable(`no answer within ${TIMEOUT_MS} ms`));
    expect(tookMs).toBeLessThan(TIMEOUT_MS + 3_000);
    await until("the connection is closed", () => endpoint.open() === 0);
    endpoint.answer = json({ status: "paid" });
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });
});

describe("an endpoint that breaks off:", () => {
  const broken: [string, Answer][] = [
    ["it closes without a word", (socket) => socket.destroy()],
    ["it closes in its headers", (socket) => socket.end(HEAD)],
    ["it closes in the middle of its body", (socket) => socket.end(`${HEAD}content-length: 17\r\n\r\n{"status":`)],
    [
      "it closes between two chunks",
      (socket) => socket.end(`${HEAD}transfer-encoding: chunked\r\n\r\na\r\n{"status":\r\n`),
    ],
    ["it does not speak HTTP", (socket) => socket.end("220 relay.example ESMTP\r\n")],
  ];
  test.each(broken)("%s", async (_, answer) => {
    endpoint.answer = answer;
    const { status, tookMs } = await timed(open(`${endpoint.origin}/{bookingId}`, 5_000).statusOf("BK-1"));
    expect(status.kind).toBe("unavailable");
    expect(status).toHaveProperty("reason", expect.stringMatching(/^127\.0\.0\.1:\d+: [^\n]+$/));
    expect(tookMs).toBeLessThan(2_500);
  });

  test("a status that came whole before the connection broke, in a body without a length, is no proof", async () => {
    endpoint.answer = (socket) => socket.end(`${HEAD}content-length: 400\r\n\r\n{"status":"paid"}`);
    expect((await store.statusOf("BK-1")).kind).toBe("unavailable");
  });
});

describe("a body", () => {
  test("without an end is cut off at 16 KiB, long before the time is up", async () => {
    endpoint.answer = (socket) => {
      socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
      drip(`4000\r\n${" ".repeat(0x4000)}\r\n`)(socket);
    };
    const { status, tookMs } = await timed(open(`${endpoint.origin}/{bookingId}`, 10_000).statusOf("BK-1"));
    expect(status).toEqual(unavailable("it answered with more than 16 KiB"));
    expect(tookMs).toBeLessThan(5_000);
    await until("the connection is closed", () => endpoint.open() === 0);
  });

  test("of 16 KiB is read, and one byte more is not", async () => {
    const padded = (length: number) => JSON.stringify({ status: "paid", pad: "" }).padEnd(length, " ");
    const answerWith = (body: string) => `${HEAD}content-length: ${body.length}\r\n\r\n${body}`;
    endpoint.answer = answerWith(padded(16_384));
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    endpoint.answer = answerWith(padded(16_385));
    expect(await store.statusOf("BK-1")).toEqual(unavailable("it answered with more than 16 KiB"));
  });

  test("that was compressed, though nobody asked for that, does not unfold", async () => {
    const bomb = gzipSync(Buffer.alloc(10_000_000, " "));
    endpoint.answer = (socket) => {
      socket.write(`${HEAD}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`);
      socket.write(bomb);
    };
    const { status } = await timed(store.statusOf("BK-1"));
    expect(status).toHaveProperty("reason", expect.stringContaining("it answered with what is not JSON"));
  });
});

describe("an error page", () => {
  test.each([
    ["404 Not Found", { kind: "not_found" }],
    ["500 Internal Server Error", undefined],
  ])("of a %s is not read to its end", async (status, expected) => {
    endpoint.answer = (socket) => {
      socket.write(`HTTP/1.1 ${status}\r\ntransfer-encoding: chunked\r\n\r\n`);
      drip("5\r\nsorry\r\n")(socket);
    };
    const answer = await open(`${endpoint.origin}/{bookingId}`, 5_000).statusOf("BK-1");
    expect(answer).toEqual((expected as BookingStatus | undefined) ?? unavailable("it answered 500"));
    await until("the connection is closed", () => endpoint.open() === 0);
  });
});

describe("an endpoint that is not there", () => {
  test("is one line, and answers again when it is back", async () => {
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    await endpoint.stop();
    for (const id of ["BK-1", "BK-2"]) {
      const status = await store.statusOf(id);
      expect(status).toHaveProperty("reason", expect.stringMatching(/^127\.0\.0\.1:\d+: [^\n]+$/));
    }
    await endpoint.start();
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });

  test("because its name leads nowhere is one line without the URL", async () => {
    const status = await open("http://nowhere.invalid/s3cret/{bookingId}", 5_000).statusOf("BK-1");
    expect(status).toHaveProperty("reason", expect.stringMatching(/^nowhere\.invalid: (?!.*s3cret)[^\n]+$/));
  });

  test("restarted in between is no fault that a caller sees twice", async () => {
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
    await endpoint.stop();
    await endpoint.start();
    await store.statusOf("BK-1");
    expect(await store.statusOf("BK-1")).toEqual({ kind: "paid" });
  });
});
