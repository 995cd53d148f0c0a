import { describe, expect, test } from "bun:test";
import { accepted, asIngest, event, harness, post, problemOf, redisAway } from "./support.ts";

const PATH = "/v1/events";

describe("posting an event", () => {
  test("answers 202 with the message that is owed", async () => {
    const { app, posted } = harness();
    const response = await post(app, PATH, event());
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({
      id: "msg_evt_7Q2",
      eventId: "evt_7Q2",
      state: "scheduled",
      dueAt: "2026-11-24T09:30:10.000Z",
      duplicate: false,
      durability: "fsynced",
    });
    expect(posted).toEqual([event() as never]);
  });

  test("does not care about the Content-Type", async () => {
    const { app } = harness();
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]) {
      expect((await post(app, PATH, event(), { ...asIngest, "content-type": type })).status).toBe(202);
    }
  });

  test("answers 415 to a body that is compressed, and says so", async () => {
    const { app, posted } = harness();
    for (const coding of ["gzip", "br", "identity, gzip"]) {
      const response = await post(app, PATH, event(), { ...asIngest, "content-encoding": coding });
      expect([response.status, response.headers.get("accept-encoding")]).toEqual([415, "identity"]);
      expect((await problemOf(response)).detail).toContain(`Content-Encoding is ${coding}: send the body as it is`);
    }
    expect(posted).toEqual([]);
    expect((await post(app, PATH, event(), { ...asIngest, "content-encoding": "Identity" })).status).toBe(202);
  });

  test("takes a byte order mark for none", async () => {
    const { app } = harness();
    expect((await post(app, PATH, `\u{feff}${JSON.stringify(event())}`)).status).toBe(202);
  });

  test("says that it was a duplicate, and how durable it is", async () => {
    const h = harness();
    h.answer = (posted) => accepted(posted, { duplicate: true, state: "sent", durability: "journaled" });
    const reply = await (await post(h.app, PATH, event())).json();
    expect(reply).toMatchObject({ duplicate: true, state: "sent", durability: "journaled" });
  });

  test("points at each bad field, also when the type is missing or unknown", async () => {
    const pointersOf = async (body: object) => {
      const { detail, errors } = await problemOf(await post(harness().app, PATH, body));
      return [detail, ...(errors ?? []).map(({ pointer }) => pointer)];
    };
    expect(await pointersOf({})).toEqual(["3 fields are wrong.", "/type", "/id", "/data"]);
    expect(await pointersOf({ id: "", type: "x", data: {} })).toEqual([
      ...["4 fields are wrong.", "/type", "/id", "/data/payment", "/data/customer"],
    ]);
  });

  test("says what was changed and left out, also of a duplicate", async () => {
    const h = harness();
    const body = event((e) => {
      e.data.customer.locale = "vi_VN";
      e.data.booking.startAt = "2026-12-01";
      e.notes = [{ pointer: "/smuggled", detail: "in" }];
    });
    const notes = [
      { pointer: "/data/booking/startAt", detail: "kept as it is: startsAt may be meant" },
      { pointer: "/data/customer/locale", detail: "read as vi-VN" },
      { pointer: "/notes", detail: "left out: it is not a field that is known here" },
    ];
    const replyTo = async (one: object) => (await (await post(h.app, PATH, one)).json()) as object;
    expect(await replyTo(body)).toMatchObject({ duplicate: false, notes });
    h.answer = (posted) => accepted(posted, { duplicate: true });
    expect(await replyTo(body)).toMatchObject({ duplicate: true, notes });
    expect(await replyTo(event())).not.toHaveProperty("notes");
    expect(h.posted[0]?.notes).toEqual(notes);
  });

  test("answers 422 when the id was used for another body", async () => {
    const h = harness();
    h.answer = () => ({ kind: "conflict", messageId: "msg_other" });
    const response = await post(h.app, PATH, event());
    expect(response.status).toBe(422);
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:id-reused" });
  });

  test("answers 503 with Retry-After when the backlog is full or nothing can store it", async () => {
    const h = harness();
    const cases = [
      [() => ({ kind: "full", limit: 1000 }) as const, "backlog-full"],
      [() => ({ kind: "unavailable", reason: "MISCONF" }) as const, "unavailable"],
      [() => Promise.reject(redisAway()), "unavailable"],
    ] as const;
    for (const [answer, kind] of cases) {
      h.answer = answer;
      const response = await post(h.app, PATH, event());
      expect(response.status).toBe(503);
      expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await problemOf(response)).toMatchObject({ type: `urn:postpaid:problem:${kind}` });
    }
    expect(h.logged).toEqual([]);
  });
});

describe("a body that is no event", () => {
  test.each([
    ["nothing", ""],
    ["white space", " \n "],
    ["half a document", '{"id":'],
    ["text", "payment completed"],
    ["two documents", "{}{}"],
    ["UTF-16", new Uint8Array(Buffer.from("{}", "utf16le"))],
    ["broken UTF-8", new Uint8Array(Buffer.from('{"id":"\xff"}', "latin1"))],
    ["a cut UTF-8 sequence", new Uint8Array(Buffer.from('{"id":"\xe2\x82"}', "latin1"))],
    ["an overlong UTF-8 slash", new Uint8Array(Buffer.from('{"id":"\xc0\xaf"}', "latin1"))],
    ["a surrogate in UTF-8", new Uint8Array(Buffer.from('{"id":"\xed\xa0\x80"}', "latin1"))],
  ])("is refused with 400: %s", async (_, body) => {
    const { app, posted } = harness();
    const response = await post(app, PATH, body);
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:invalid-request" });
    expect(posted).toEqual([]);
  });

  test.each(["null", "1", '"text"', "[]", "true", "[{}]"])("is refused with 400 as a whole: %s", async (body) => {
    const response = await post(harness().app, PATH, body);
    expect(response.status).toBe(400);
    expect((await problemOf(response)).errors).toEqual([{ pointer: "", detail: "must be a JSON object" }]);
  });

  test("gets a pointer to each bad field, and none to what a mail can do without", async () => {
    const body = event((e) => {
      e.data.customer.email = "an@example.com, binh@example.com";
      e.data.payment.amount = 4500.5;
      e.data.payment.currency = "vnd";
      e.options.delay = 5;
      for (let i = 0; i < 5000; i++) e[`k${i}`] = i;
    });
    const response = await post(harness().app, PATH, body);
    expect(response.status).toBe(400);
    const { type, errors } = await problemOf(response);
    expect(type).toBe("urn:postpaid:problem:invalid-event");
    expect(errors?.map(({ pointer }) => pointer).sort()).toEqual(["/data/customer/email", "/data/payment/amount"]);
  });
});
