/* Over real sockets: the address is the socket's. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Event } from "../../src/domain/event.ts";
import type { Posted } from "../../src/domain/ingress.ts";
import { createRefusals, type RefusalReason } from "../../src/http/refusals.ts";
import { accepted, event, harness, INGEST_KEY } from "./support.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function serve() {
  const counted: RefusalReason[] = [];
  const self = harness();
  // As Redis answers: in another turn of the event loop.
  const answer = (posted: Event) => new Promise<Posted>((resolve) => setImmediate(() => resolve(accepted(posted))));
  const refusals = createRefusals(self.deps.log, (reason) => counted.push(reason));
  const { app, ...rest } = Object.assign(harness({ refusals, log: self.deps.log }), { answer });
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request, it) => app.fetch(request, it) });
  cleanups.push(() => server.stop(true));
  const post = (headers: Record<string, string>) =>
    fetch(new URL("/v1/events", server.url), { method: "POST", body: JSON.stringify(event()), headers });
  const guess = () => post({ authorization: "Bearer guess" });
  return { ...rest, logged: self.logged, counted, server, post, guess };
}

const good = { authorization: `Bearer ${INGEST_KEY}` };

describe("refused credentials", () => {
  test("are slowed for their address, whether one comes after the other or all at once; a good key is not", async () => {
    const { guess, post } = serve();
    const guesses: Promise<Response>[] = [];
    for (let n = 0; n < 70; n++) guesses.push(guess());
    let answered = 0;
    for (const one of guesses) void one.then(() => answered++);
    const startedAt = performance.now();
    expect((await post(good)).status).toBe(202);
    // The last of the guesses is due 2 s after the first: 50 at once, then 10 a second.
    expect(answered).toBeLessThan(70);
    for (const response of await Promise.all(guesses)) expect(response.status).toBe(401);
    expect(performance.now() - startedAt).toBeGreaterThan(1_500);
  });

  test("are counted by what was wrong with them", async () => {
    const { counted, guess, post, server } = serve();
    await guess();
    await post({});
    await post({ "webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA" });
    await fetch(new URL("/v1/queues", server.url));
    await fetch(new URL("/v1/messages", server.url), { headers: { authorization: "Basic x" } });
    await post(good);
    expect(counted).toEqual(["token", "missing", "signature", "missing", "token"]);
  });

  test("are logged once, with their address, however many there are", async () => {
    const { guess, logged } = serve();
    for (let n = 0; n < 20; n++) await guess();
    expect(logged.map(({ msg }) => msg)).toEqual(["request refused"]);
    expect(logged[0]).toMatchObject({ address: "127.0.0.1", reason: "token", route: "POST /v1/events" });
    expect(JSON.stringify(logged)).not.toContain("guess");
  });
});

/** What comes back for `text` on one connection, until the server closes it or `enough` says so. */
function talk(port: number, text: string, end: boolean, enough: (got: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = "";
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => {
      if (end) socket.end(text);
      else socket.write(text);
    });
    const done = () => {
      socket.destroy();
      resolve(got);
    };
    socket.on("data", (chunk) => {
      got += chunk;
      if (enough(got)) done();
    });
    socket.on("end", done).on("error", reject);
  });
}

describe("on the wire", () => {
  const one = (id: string) => {
    const body = JSON.stringify(event((it) => (it.id = id)));
    const head = `POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${INGEST_KEY}\r\n`;
    return `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  };
  const answers = (got: string) => got.split("HTTP/1.1 202").length - 1;

  test("a client that closes its half after the request gets its answer", async () => {
    const { server } = serve();
    expect(answers(await talk(server.port as number, one("evt_1"), true, (got) => answers(got) === 1))).toBe(1);
  });

  test("a client that waits for one answer before the next request gets both", async () => {
    const { server, posted } = serve();
    const port = server.port as number;
    for (const id of ["evt_1", "evt_2"]) await talk(port, one(id), false, (got) => answers(got) === 1);
    expect(posted.map(({ id }) => id)).toEqual(["evt_1", "evt_2"]);
  });

  test("Bun closes on two requests in one packet, and answers neither: the manual says so", async () => {
    const { server } = serve();
    const got = await talk(server.port as number, one("evt_1") + one("evt_2"), false, (all) => answers(all) === 2);
    expect(answers(got)).toBe(0);
  });
});
