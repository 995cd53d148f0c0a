import { afterAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { event, harness, INGEST_KEY, post, problemOf } from "./support.ts";

const LIMIT = 65_536;

const { app, posted, logged } = harness();
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: app.fetch, maxRequestBodySize: 64 * 1024 * 1024 });

afterAll(() => server.stop(true));

/** An event of exactly so many bytes. */
function bodyOf(bytes: number): string {
  const json = JSON.stringify(event());
  return json.padEnd(bytes - (Buffer.byteLength(json) - json.length));
}

const HEAD = `POST /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${INGEST_KEY}\r\n`;

/** Writes the parts to a socket of its own, and reads until a whole response, or the end, is there. */
function exchange(...parts: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port ?? 0, "127.0.0.1");
    let reply = "";
    socket.on("data", (data) => {
      reply += data;
      const length = /content-length: (\d+)/i.exec(reply)?.[1];
      const body = reply.split("\r\n\r\n")[1];
      if (length !== undefined && body !== undefined && Buffer.byteLength(body) >= Number(length)) socket.destroy();
    });
    socket.on("close", () => resolve(reply));
    socket.on("error", reject);
    for (const part of parts) socket.write(part);
  });
}

function chunked(body: string, chunkBytes: number): string[] {
  const bytes = Buffer.from(body);
  const chunks: string[] = [];
  for (let from = 0; from < bytes.length; from += chunkBytes) {
    const chunk = bytes.subarray(from, from + chunkBytes);
    chunks.push(`${chunk.length.toString(16)}\r\n${chunk.toString("latin1")}\r\n`);
  }
  return chunks;
}

/** ASCII only, so that chunks can be cut anywhere. */
function asciiBodyOf(bytes: number): string {
  return JSON.stringify(
    event((e) => {
      e.data.booking.title = "Sleeper bus";
      e.data.customer.name = "An";
    }),
  ).padEnd(bytes);
}

describe("a body", () => {
  test("of 65,536 bytes is taken, one more is 413, by its Content-Length", async () => {
    const url = new URL("/v1/events", server.url);
    const headers = { authorization: `Bearer ${INGEST_KEY}` };
    expect((await fetch(url, { method: "POST", headers, body: bodyOf(LIMIT) })).status).toBe(202);
    const response = await fetch(url, { method: "POST", headers, body: bodyOf(LIMIT + 1) });
    expect(response.status).toBe(413);
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:too-large" });
  });

  test.each([1_000, 16_384, 65_537])("counts the same in chunks of %d bytes", async (chunkBytes) => {
    const head = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
    expect(await exchange(head, ...chunked(asciiBodyOf(LIMIT), chunkBytes), "0\r\n\r\n")).toStartWith("HTTP/1.1 202 ");
    const over = await exchange(head, ...chunked(asciiBodyOf(LIMIT + 1), chunkBytes), "0\r\n\r\n");
    expect(over).toStartWith("HTTP/1.1 413 ");
  });

  test("is refused while it is still coming in, when it has no end", async () => {
    const before = posted.length;
    const head = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`;
    expect(await exchange(head, ...chunked("x".repeat(LIMIT + 1), 16_384))).toStartWith("HTTP/1.1 413 ");
    expect(posted.length).toBe(before);
  });

  test("is refused by its Content-Length before it is sent", async () => {
    expect(await exchange(`${HEAD}Content-Length: ${LIMIT + 1}\r\n\r\n`)).toStartWith("HTTP/1.1 413 ");
  });

  test("with both a Content-Length and chunks is refused", async () => {
    const head = `${HEAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`;
    expect(await exchange(head, "5\r\nhello\r\n0\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
  });

  test("is not waited for from a caller without credentials", async () => {
    const head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n";
    expect(await exchange(head)).toStartWith("HTTP/1.1 401 ");
  });

  test("that the client does not finish is nobody's fault", async () => {
    const before = posted.length;
    for (const head of [`${HEAD}Content-Length: 100\r\n\r\n{`, `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{`]) {
      await new Promise<void>((resolve) => {
        const socket = connect(server.port ?? 0, "127.0.0.1", () => socket.write(head, () => socket.destroy()));
        socket.on("close", () => resolve());
      });
    }
    expect(await exchange(`${HEAD}Content-Length: 2\r\n\r\n{}`)).toStartWith("HTTP/1.1 400 ");
    expect([posted.length, logged]).toEqual([before, []]);
  });

  test("is measured whatever its Content-Length says", async () => {
    const lying = { authorization: `Bearer ${INGEST_KEY}`, "content-length": "2" };
    expect((await post(app, "/v1/events", bodyOf(LIMIT + 1), lying)).status).toBe(413);
    for (const length of ["", "-1", "many", "1e3", "0x10"]) {
      const headers = { authorization: `Bearer ${INGEST_KEY}`, "content-length": length };
      expect((await post(app, "/v1/events", bodyOf(LIMIT + 1), headers)).status).toBe(413);
      expect((await post(app, "/v1/events", bodyOf(LIMIT), headers)).status).toBe(202);
    }
  });
});
