import { describe, expect, test } from "bun:test";
import { asAdmin, asIngest, deadMessage, event, harness, message, post, problemOf } from "./support.ts";

const { app, logged } = harness();

describe("a path that is no route", () => {
  test.each([
    "/v1",
    "/v1/",
    "/v1/event",
    "/v1/events/a/b",
    "/V1/events",
    "/v1/messages/",
    "//",
    "/%00",
    "/../etc/passwd",
  ])("is 404: %s", async (path) => {
    const response = await app.request(path, { headers: asAdmin });
    expect(response.status).toBe(404);
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:not-found" });
  });
});

test("whatever /v1 answers, nobody keeps it or guesses at its type", async () => {
  const document = (await (await app.request("/openapi.json")).json()) as { paths: Record<string, object> };
  const seen = new Set<number>();
  for (const [path, methods] of Object.entries(document.paths)) {
    if (!path.startsWith("/v1")) continue;
    for (const method of Object.keys(methods)) {
      for (const headers of [asAdmin, asIngest, {}]) {
        const url = path.replaceAll(/\{(\w+)\}/g, (_, name) => (name === "name" ? "low" : "evt_1"));
        const response = await app.request(url, { method: method.toUpperCase(), headers });
        await response.body?.cancel();
        seen.add(response.status);
        expect([url, response.headers.get("cache-control")]).toEqual([url, "no-store"]);
        expect([url, response.headers.get("x-content-type-options")]).toEqual([url, "nosniff"]);
      }
    }
  }
  expect([...seen].sort()).toEqual([200, 400, 401, 404]);
});

describe("a method that the route has not", () => {
  test.each([
    ["GET", "/v1/events", "POST"],
    ["PUT", "/v1/events", "POST"],
    ["OPTIONS", "/v1/events", "POST"],
    ["POST", "/v1/events/evt_1", "GET, HEAD"],
    ["POST", "/v1/messages", "GET, HEAD"],
    ["DELETE", "/v1/messages/msg_1", "GET, HEAD"],
    ["PATCH", "/v1/dead/msg_1", "DELETE"],
    ["GET", "/v1/dead/replay", "DELETE, POST"],
    ["GET", "/v1/queues/low/pause", "POST"],
    ["POST", "/healthz", "GET, HEAD"],
    ["POST", "/", "GET, HEAD"],
    ["PROPFIND", "/v1/queues", "GET, HEAD"],
  ])("%s %s is 405, and says which it has", async (method, path, allow) => {
    const response = await app.request(path, { method, headers: asAdmin });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")?.split(", ").sort()).toEqual(allow.split(", ").sort());
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:method-not-allowed" });
  });

  test("does not include HEAD where there is a GET", async () => {
    const response = await app.request("/v1/messages", { method: "HEAD", headers: asIngest });
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });
});

describe("a path that cannot be decoded", () => {
  test.each(["%ff", "%zz", "%", "100%", "a%2", "%c3", "%ED%A0%80", "a%2F%ff"])(
    "is 400, and nothing is done: %s",
    async (id) => {
      const asked: string[] = [];
      const h = harness();
      const note = (eventId: string) => asked.push(eventId);
      h.rollback = (eventId) => ({ kind: "cancelled", messageId: `msg_${note(eventId)}`, state: "cancelled" });
      h.commit = (eventId) => ({ kind: "cancelled", messageId: `msg_${note(eventId)}` });
      h.messages.push(deadMessage(id), message({ eventId: id }));
      for (const [method, path, headers] of [
        ["POST", `/v1/events/${id}/commit`, asIngest],
        ["POST", `/v1/events/${id}/rollback?x=%41`, asIngest],
        ["GET", `/v1/events/${id}`, asIngest],
        ["GET", `/v1/messages/${id}`, asIngest],
        ["POST", `/v1/dead/${id}/replay`, asAdmin],
        ["DELETE", `/v1/dead/${id}`, asAdmin],
        ["POST", `/v1/queues/${id}/pause`, asAdmin],
        ["GET", `/nowhere/${id}`, asAdmin],
      ] as const) {
        const response = await h.app.request(path, { method, headers });
        expect([path, response.status]).toEqual([path, 400]);
        expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:invalid-request" });
      }
      expect([asked, h.replays, h.messages.length]).toEqual([[], [], 2]);
      const whole = await h.app.request(`/v1/events/${encodeURIComponent(id)}/rollback`, {
        method: "POST",
        headers: asIngest,
      });
      expect([whole.status, asked]).toEqual([200, [id]]);
    },
  );

  test("is 400 from a real server, too", async () => {
    const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: app.fetch });
    const response = await fetch(`${server.url}v1/events/%ff/rollback`, { method: "POST", headers: asIngest });
    expect(response.status).toBe(400);
    await problemOf(response);
    await server.stop(true);
  });
});

describe("a query on an admin route that changes something", () => {
  test.each([
    ["POST", "/v1/dead/replay", '{"all":true}'],
    ["POST", "/v1/dead/msg_1/replay", ""],
    ["DELETE", "/v1/dead/msg_1", undefined],
    ["POST", "/v1/queues/critical/pause", undefined],
    ["POST", "/v1/queues/critical/resume", undefined],
  ] as const)("is refused, and nothing is changed: %s %s", async (method, path, body) => {
    const h = harness();
    h.messages.push(deadMessage("msg_1"));
    const paused = path.endsWith("/resume");
    for (const queue of h.queues) queue.paused = paused;
    const init = { method, headers: asAdmin, ...(body !== undefined && { body }) };
    for (const query of ["dryRun=true", "dryRun=", "x=1&dryRun"]) {
      const response = await h.app.request(`${path}?${query}`, init);
      expect(response.status).toBe(400);
      expect((await problemOf(response)).errors).toContainEqual({ parameter: "dryRun", detail: "is not known here" });
    }
    expect((await h.app.request(`${path}?dryRun=true`, { ...init, headers: asIngest })).status).toBe(401);
    expect([h.replays, h.messages.length, h.queues[0]?.paused]).toEqual([[], 1, paused]);
    expect((await h.app.request(`${path}?`, init)).status).toBeOneOf([200, 202, 204]);
  });

  test("is ignored where events are posted", async () => {
    expect((await post(app, "/v1/events?source=shop", event())).status).toBe(202);
    expect((await post(app, "/v1/events/evt_1/rollback?source=shop", "")).status).toBe(200);
  });
});

test("nothing of this is worth a line in the log", () => {
  expect(logged).toEqual([]);
});
