import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { asAdmin, asIngest, event, harness, INGEST_KEY, post, problemOf, SECOND_KEY, WHSEC_KEY } from "./support.ts";

const PATH = "/v1/events";
const BODY = JSON.stringify(event());

const raw = (key: string) => new Webhook(Buffer.from(key), { format: "raw" });

function signed(webhook: Webhook, { body = BODY, secondsOff = 0, id = "evt_7Q2" } = {}) {
  const at = new Date(Date.now() + secondsOff * 1000);
  return {
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
    "webhook-signature": webhook.sign(id, at, body),
  };
}

describe("a bearer token", () => {
  test("opens the door with any of the keys, and with any spelling of the scheme", async () => {
    const { app } = harness();
    for (const key of [INGEST_KEY, SECOND_KEY, WHSEC_KEY]) {
      for (const scheme of ["Bearer", "bearer", "BEARER", "Bearer  "]) {
        expect((await post(app, PATH, BODY, { authorization: `${scheme} ${key}` })).status).toBe(202);
      }
    }
  });

  test("that is no key gets 401 and a challenge, whatever its length", async () => {
    const { app, posted } = harness();
    const wrong = ["", "x", INGEST_KEY.slice(0, -1), `${INGEST_KEY}x`, INGEST_KEY.toUpperCase(), "x".repeat(4000), "é"];
    const headers = [
      {},
      { authorization: INGEST_KEY },
      { authorization: `Basic ${btoa(`postpaid:${INGEST_KEY}`)}` },
      { authorization: `Bearer ${INGEST_KEY} ${INGEST_KEY}` },
      { authorization: `Bearer ${INGEST_KEY},` },
      ...wrong.map((token) => ({ authorization: `Bearer ${token}` })),
    ] as Record<string, string>[];
    for (const path of [PATH, "/v1/events/batch"]) {
      for (const header of headers) {
        const response = await post(app, path, BODY, header);
        expect(response.status).toBe(401);
        expect(response.headers.get("www-authenticate")).toBe("Bearer");
        expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:unauthorized" });
      }
    }
    expect(posted).toEqual([]);
  });

  test("is checked before the body is looked at", async () => {
    const { app } = harness();
    expect((await post(app, PATH, "x".repeat(100_000), {})).status).toBe(401);
    expect((await post(app, PATH, "not json", { authorization: "Bearer junk" })).status).toBe(401);
  });

  test("with the admin token posts nothing: 401", async () => {
    const { app, posted } = harness();
    const response = await post(app, PATH, BODY, asAdmin);
    expect(response.status).toBe(401);
    expect((await problemOf(response)).detail).toContain("takes an ingest key");
    expect(posted).toEqual([]);
  });
});

describe("a signature", () => {
  test("made with any of the keys opens the door", async () => {
    const { app } = harness();
    for (const webhook of [raw(INGEST_KEY), raw(SECOND_KEY), new Webhook(WHSEC_KEY)]) {
      expect((await post(app, PATH, BODY, signed(webhook))).status).toBe(202);
    }
  });

  test("covers a batch as well", async () => {
    const { app } = harness();
    expect((await post(app, "/v1/events/batch", BODY, signed(raw(INGEST_KEY)))).status).toBe(202);
    expect((await post(app, "/v1/events/batch", `${BODY}\n`, signed(raw(INGEST_KEY)))).status).toBe(401);
  });

  test.each([
    ["made with another key", signed(raw("another"))],
    ["made with the text of a whsec_ key", signed(raw(WHSEC_KEY))],
    ["over another body", signed(raw(INGEST_KEY), { body: `${BODY} ` })],
    ["with another id", { ...signed(raw(INGEST_KEY)), "webhook-id": "evt_other" }],
    ["that is stale", signed(raw(INGEST_KEY), { secondsOff: -310 })],
    ["from the future", signed(raw(INGEST_KEY), { secondsOff: 310 })],
    ["without a timestamp", { ...signed(raw(INGEST_KEY)), "webhook-timestamp": "" }],
    ["with a timestamp that is no number", { ...signed(raw(INGEST_KEY)), "webhook-timestamp": "now" }],
    [
      "with something behind the timestamp",
      { ...signed(raw(INGEST_KEY)), "webhook-timestamp": `${signed(raw(INGEST_KEY))["webhook-timestamp"]}x` },
    ],
    ["without a version", { ...signed(raw(INGEST_KEY)), "webhook-signature": "AAAA" }],
    ["of another version", { ...signed(raw(INGEST_KEY)), "webhook-signature": "v2,AAAA" }],
    ["with nothing behind the version", { ...signed(raw(INGEST_KEY)), "webhook-signature": "v1 v1, v1,," }],
    ["that is not there", { "webhook-id": "evt_7Q2" }],
  ])("%s is refused with 401", async (_, headers) => {
    const { app, posted, logged } = harness();
    const response = await post(app, PATH, BODY, headers);
    expect(response.status).toBe(401);
    expect((await problemOf(response)).detail).toStartWith("The webhook signature was not accepted: ");
    expect([posted, logged]).toEqual([[], []]);
  });

  test("may be up to five minutes off", async () => {
    const { app } = harness();
    for (const secondsOff of [-290, 290]) {
      expect((await post(app, PATH, BODY, signed(raw(INGEST_KEY), { secondsOff }))).status).toBe(202);
    }
  });

  test("counts when it is one of several in the header", async () => {
    const { app } = harness();
    const good = signed(raw(SECOND_KEY));
    const others = `v1,AAAA v1a,BBBB ${signed(raw("another"))["webhook-signature"]}`;
    const headers = { ...good, "webhook-signature": `${others} ${good["webhook-signature"]}` };
    expect((await post(app, PATH, BODY, headers)).status).toBe(202);
    expect((await post(app, PATH, BODY, { ...good, "webhook-signature": others })).status).toBe(401);
  });

  test("is made over the bytes as they are: text that is not UTF-8 is vouched for, then refused with 400", async () => {
    const { app } = harness();
    const body = new Uint8Array(Buffer.from('{"id":"\xff"}', "latin1"));
    const headers = signed(raw(INGEST_KEY));
    const head = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
    const hmac = (text: string | Uint8Array) =>
      `v1,${createHmac("sha256", INGEST_KEY).update(head).update(text).digest("base64")}`;
    expect((await post(app, PATH, body, { ...headers, "webhook-signature": hmac(body) })).status).toBe(400);
    const replaced = hmac('{"id":"\ufffd"}');
    expect((await post(app, PATH, body, { ...headers, "webhook-signature": replaced })).status).toBe(401);
  });

  test("is checked before the JSON is, and only up to the size limit", async () => {
    const { app } = harness();
    expect((await post(app, PATH, "not json", signed(raw("another"), { body: "not json" }))).status).toBe(401);
    expect((await post(app, PATH, "not json", signed(raw(INGEST_KEY), { body: "not json" }))).status).toBe(400);
    expect((await post(app, PATH, "x".repeat(65_537), signed(raw("another")))).status).toBe(413);
  });

  test("beside a bearer token: one of the two has to be good", async () => {
    const { app } = harness();
    const bad = signed(raw("another"));
    const good = signed(raw(INGEST_KEY));
    expect((await post(app, PATH, BODY, { ...bad, ...asIngest })).status).toBe(202);
    expect((await post(app, PATH, BODY, { ...good, authorization: "Bearer junk" })).status).toBe(202);
    expect((await post(app, PATH, BODY, { ...bad, authorization: "Bearer junk" })).status).toBe(401);
  });
});

describe("a route that reads", () => {
  test.each(["/v1/messages", "/v1/messages/msg_1", "/v1/events/evt_7Q2"])(
    "%s takes both kinds of token",
    async (path) => {
      const { app } = harness();
      expect((await app.request(path, { headers: asIngest })).status).not.toBe(401);
      expect((await app.request(path, { headers: asAdmin })).status).not.toBe(401);
      for (const headers of [{}, { authorization: "Bearer junk" }, signed(raw(INGEST_KEY), { body: "" })]) {
        const response = await app.request(path, { headers });
        expect(response.status).toBe(401);
        expect(response.headers.get("www-authenticate")).toBe("Bearer");
        await problemOf(response);
      }
    },
  );
});

describe("an admin route", () => {
  test.each([
    ["GET", "/v1/dead"],
    ["POST", "/v1/dead/msg_1/replay"],
    ["POST", "/v1/dead/replay"],
    ["DELETE", "/v1/dead/msg_1"],
    ["GET", "/v1/queues"],
    ["POST", "/v1/queues/low/pause"],
    ["POST", "/v1/queues/low/resume"],
    ["GET", "/v1/live"],
  ])("%s %s: 401 without a token, and with an ingest key", async (method, path) => {
    const { app, followers } = harness();
    for (const headers of [{}, { authorization: "Bearer junk" }]) {
      const response = await app.request(path, { method, headers });
      expect(response.status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      await problemOf(response);
    }
    const response = await app.request(path, { method, headers: asIngest });
    expect(response.status).toBe(401);
    expect((await problemOf(response)).detail).toContain("takes the admin token");
    expect(followers.size).toBe(0);
  });
});

test("a whsec_ key with nothing behind it is refused when the service is made", () => {
  expect(() => harness({ ingestKeys: ["whsec_"] })).toThrow();
});
