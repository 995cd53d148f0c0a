import { describe, expect, test } from "bun:test";
import { asAdmin, asIngest, deadMessage, harness, message, problemOf, redisAway } from "./support.ts";

const get = (h: ReturnType<typeof harness>, path: string) => h.app.request(path, { headers: asIngest });

describe("a message", () => {
  test("is shown with its attempts and its timeline, in ISO instants", async () => {
    const h = harness();
    h.messages.push(message());
    const response = await get(h, "/v1/messages/msg_1");
    expect(response.status).toBe(200);
    const shown = await response.json();
    expect(shown).toEqual({
      id: "msg_1",
      eventId: "evt_7Q2",
      type: "payment.completed",
      state: "sent",
      priority: "critical",
      bookingId: "BK-1042",
      recipient: "an@example.com",
      dueAt: "2026-11-24T09:30:10.000Z",
      attempts: [
        { n: 1, at: "2026-11-24T09:30:10.001Z", outcome: "deferred", reply: "451 4.3.0 busy" },
        { n: 2, at: "2026-11-24T09:30:40.201Z", outcome: "sent", reply: "250 2.0.0 queued" },
      ],
      timeline: [
        { at: "2026-11-24T09:30:00.000Z", state: "scheduled", reason: "" },
        { at: "2026-11-24T09:30:10.000Z", state: "queued", reason: "due" },
        { at: "2026-11-24T09:30:10.001Z", state: "sending", attempt: 1, reason: "taken" },
        { at: "2026-11-24T09:30:10.200Z", state: "deferred", attempt: 1, reason: "451 4.3.0 busy" },
        { at: "2026-11-24T09:30:40.200Z", state: "queued", reason: "due" },
        { at: "2026-11-24T09:30:40.201Z", state: "sending", attempt: 2, reason: "taken" },
        { at: "2026-11-24T09:30:40.400Z", state: "sent", attempt: 2, reason: "250 2.0.0 queued" },
      ],
    });
    expect(await (await get(h, "/v1/events/evt_7Q2")).json()).toEqual(shown);
  });

  test("that is dead says why", async () => {
    const h = harness();
    h.messages.push(deadMessage("msg_2"));
    expect(await (await get(h, "/v1/messages/msg_2")).json()).toMatchObject({
      state: "dead",
      reason: "550 5.1.1 no such user",
      fingerprint: "f00d",
      deadAt: "2026-11-24T09:30:50.000Z",
    });
  });

  test("is found by an event id that a URL has to encode", async () => {
    const h = harness();
    for (const eventId of ["a/b", "100%", "%2F", "a?b#c", "x&y=z", "{pp:0}:m", "..", "batch"]) {
      h.messages.splice(0, 1, message({ eventId }));
      const path = `/v1/events/${eventId === ".." ? "%2E%2E" : encodeURIComponent(eventId)}`;
      const response = await get(h, path);
      if (eventId === "..") continue; // a URL has no way to say it
      expect([eventId, response.status]).toEqual([eventId, 200]);
    }
  });

  test.each(["msg_none", "%00", "%20", "x".repeat(129), "%0d%0aSet-Cookie:x", "é"])(
    "that is not there is 404: %s",
    async (id) => {
      const h = harness();
      for (const path of [`/v1/messages/${id}`, `/v1/events/${id}`]) {
        const response = await get(h, path);
        expect(response.status).toBe(404);
        expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:not-found" });
      }
      expect(h.logged).toEqual([]);
    },
  );
});

describe("the list of messages", () => {
  test("goes on page by page, and its cursor is null on the last one", async () => {
    const h = harness();
    h.messages.push(...["a", "b", "c"].map((id) => message({ id })));
    const first = (await (await get(h, "/v1/messages?limit=2")).json()) as { items: { id: string }[]; cursor: string };
    expect(first.items.map(({ id }) => id)).toEqual(["a", "b"]);
    const second = await (await get(h, `/v1/messages?limit=2&cursor=${first.cursor}`)).json();
    expect(second).toEqual({
      items: [expect.objectContaining({ id: "c", dueAt: "2026-11-24T09:30:10.000Z" })],
      cursor: null,
    });
  });

  test("passes the filters on, decoded", async () => {
    const h = harness();
    await get(h, "/v1/messages?state=dead&booking=BK%2F1&recipient=an%2Bx%40example.com&limit=7&cursor=9");
    await get(h, "/v1/messages");
    await get(h, "/v1/messages?state=&booking=&recipient=&limit=&cursor=");
    expect(h.asked).toEqual([
      { state: "dead", booking: ["BK/1"], recipient: ["an+x@example.com"], limit: 7, cursor: "9" },
      { limit: 50 },
      { limit: 50 },
    ]);
  });

  test.each([
    ["an%2Bhn@example.com", ["an+hn@example.com"]],
    ["an+hn@example.com", ["an+hn@example.com"]],
    ["+84901@example.com", ["84901@example.com", "+84901@example.com"]],
    ["an@b%C3%BCcher.example", ["an@xn--bcher-kva.example"]],
    ["an@XN--BCHER-KVA.example", ["an@xn--bcher-kva.example"]],
    ["tran..an@docomo.ne.jp", ['"tran..an"@docomo.ne.jp']],
    ["%22tran..an%22@docomo.ne.jp", ['"tran..an"@docomo.ne.jp']],
    ["%22an+smith%22@example.com", ['"an smith"@example.com', "an+smith@example.com"]],
    ["An%20%3Can@example.com%3E", ["an@example.com"]],
  ])("looks for the recipient %s in each form that it may have meant", async (recipient, asked) => {
    const h = harness();
    expect((await get(h, `/v1/messages?recipient=${recipient}`)).status).toBe(200);
    expect(h.asked).toEqual([{ recipient: asked, limit: 50 }]);
  });

  test.each([
    ["BK+1042", ["BK 1042", "BK+1042"]],
    ["BK%2B1042", ["BK+1042"]],
    [encodeURIComponent("ĐH-1042".normalize("NFD")), ["ĐH-1042"]],
    ["%20BK%20%201042%0D%0A", ["BK 1042", "+BK++1042"]],
    [encodeURIComponent("ộ".repeat(200)), ["ộ".repeat(200)]],
  ])("looks for the booking %s in each form that it may have meant", async (booking, asked) => {
    const h = harness();
    expect((await get(h, `/v1/messages?booking=${booking}`)).status).toBe(200);
    expect(h.asked).toEqual([{ booking: asked, limit: 50 }]);
  });

  test.each([
    ["recipient=an", "recipient"],
    ["recipient=nguy%E1%BB%85n@example.com", "recipient"],
    ["booking=%20", "booking"],
    ["state=lost", "state"],
    ["limit=0", "limit"],
    ["limit=201", "limit"],
    ["limit=1.5", "limit"],
    ["limit=many", "limit"],
    ["limit=1e2", "limit"],
    ["limit=0x10", "limit"],
    ["limit=%205", "limit"],
    ["limit=+5", "limit"],
    ["limit=5%0A", "limit"],
    ["limit=99999999999999999999", "limit"],
    ["limit=1&limit=2", "limit"],
    ["state=&state=dead", "state"],
    ["cursor=forged", "cursor"],
    [`cursor=${"x".repeat(3000)}`, "cursor"],
    [`recipient=${"x".repeat(300)}`, "recipient"],
    ["status=dead", "status"],
    ["__proto__=1", "__proto__"],
    ["constructor=1", "constructor"],
  ])("refuses ?%s with 400 and the parameter's name", async (query, parameter) => {
    const h = harness();
    const response = await get(h, `/v1/messages?${query}`);
    expect(response.status).toBe(400);
    const { type, errors } = await problemOf(response);
    expect(type).toBe("urn:postpaid:problem:invalid-request");
    expect(errors?.map((error) => error.parameter)).toEqual([parameter]);
    expect(h.logged).toEqual([]);
  });
});

describe("while Redis is away", () => {
  test.each(["/v1/messages", "/v1/messages/msg_1", "/v1/events/evt_7Q2"])(
    "%s is 503 with Retry-After",
    async (path) => {
      const away = () => Promise.reject(redisAway());
      const h = harness({ messages: { byId: away, byEvent: away, list: away } });
      const response = await get(h, path);
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).not.toBeNull();
      expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:unavailable" });
      expect(h.logged).toEqual([]);
    },
  );

  test("a bug is still a bug: 500, and a line at error with the route", async () => {
    const byId = () => Promise.reject(new TypeError("not a function: an@example.com"));
    const h = harness({ messages: { byId, byEvent: byId, list: byId } });
    const response = await h.app.request("/v1/messages/msg_1", { headers: asAdmin });
    expect(response.status).toBe(500);
    expect(JSON.stringify(await problemOf(response))).not.toContain("an@example.com");
    expect(h.logged).toMatchObject([{ level: 50, msg: "request failed", route: "GET /v1/messages/:id" }]);
  });
});
