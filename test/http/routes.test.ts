import { describe, expect, test } from "bun:test";
import { asAdmin, asIngest, harness, problemOf } from "./support.ts";

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

test("nothing of this is worth a line in the log", () => {
  expect(logged).toEqual([]);
});
