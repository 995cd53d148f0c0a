import { describe, expect, test } from "bun:test";
import { asAdmin, harness, post, problemOf, redisAway } from "./support.ts";

describe("the queues", () => {
  test("are shown with their depths, and how many messages are in each state", async () => {
    const response = await harness().app.request("/v1/queues", { headers: asAdmin });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      items: [{ name: "critical", paused: false, queued: 3, sending: 1 }],
      states: { scheduled: { now: 1, total: 2 }, dead: { now: 1, total: 2 } },
    });
  });

  test("are paused and resumed by name", async () => {
    const h = harness();
    const paused = await post(h.app, "/v1/queues/critical/pause", "", asAdmin);
    expect([paused.status, await paused.json()]).toEqual([200, { name: "critical", paused: true }]);
    expect(h.queues[0]?.paused).toBe(true);
    const resumed = await post(h.app, "/v1/queues/critical/resume", "", asAdmin);
    expect([resumed.status, await resumed.json()]).toEqual([200, { name: "critical", paused: false }]);
    expect(h.queues[0]?.paused).toBe(false);
  });

  test.each(["urgent", "Critical", "__proto__", "%00"])(
    "do not include %s: 404, with the names there are",
    async (name) => {
      const response = await post(harness().app, `/v1/queues/${name}/pause`, "", asAdmin);
      expect(response.status).toBe(404);
      expect((await problemOf(response)).detail).toContain("critical, default, low");
    },
  );

  test("have no other switch", async () => {
    expect((await post(harness().app, "/v1/queues/low/drain", "", asAdmin)).status).toBe(404);
  });
});

describe("the service", () => {
  test("is alive and ready", async () => {
    const { app } = harness();
    expect(await (await app.request("/healthz")).json()).toEqual({ status: "ok" });
    expect(await (await app.request("/readyz")).json()).toEqual({ status: "ready" });
  });

  test("says why it is not ready, and stays alive", async () => {
    const { app } = harness({ ready: async () => "Redis is away and the journal is full" });
    const response = await app.request("/readyz");
    expect(response.status).toBe(503);
    expect(response.headers.get("retry-after")).not.toBeNull();
    expect((await problemOf(response)).detail).toBe("Redis is away and the journal is full");
    expect((await app.request("/healthz")).status).toBe(200);
  });

  test("shows its metrics in the Prometheus text format", async () => {
    const response = await harness().app.request("/metrics");
    expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    expect(await response.text()).toContain("postpaid_up 1");
  });

  test("answers 503 when the metrics need a Redis that is away", async () => {
    const { app } = harness({ metrics: () => Promise.reject(redisAway()) });
    expect((await app.request("/metrics")).status).toBe(503);
  });
});
