import { describe, expect, test } from "bun:test";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { parseEvent } from "../../src/types/parse.ts";
import { deadMessage, harness, problemOf, redisAway } from "./support.ts";

// biome-ignore lint/suspicious/noExplicitAny: the document is what is under test
type Json = any;

const { app } = harness();
const document = (await (await app.request("/openapi.json")).json()) as Json;

/** Every value of the document, with the keys that lead to it. */
function* walk(value: Json, path: string[] = []): Generator<[Json, string[]]> {
  yield [value, path];
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) yield* walk(inner as Json, [...path, key]);
}

describe("the OpenAPI document", () => {
  test("has every route of the contract", () => {
    const routes = Object.entries<Json>(document.paths ?? {}).flatMap(([path, item]) =>
      Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(routes.sort()).toEqual(
      [
        "POST /v1/events",
        "POST /v1/events/batch",
        "POST /v1/events/{eventId}/commit",
        "POST /v1/events/{eventId}/rollback",
        "GET /v1/events/{eventId}",
        "GET /v1/messages",
        "GET /v1/messages/{id}",
        "GET /v1/dead",
        "POST /v1/dead/{id}/replay",
        "POST /v1/dead/replay",
        "DELETE /v1/dead/{id}",
        "GET /v1/queues",
        "POST /v1/queues/{name}/pause",
        "POST /v1/queues/{name}/resume",
        "GET /v1/partitions",
        "POST /v1/partitions",
        "POST /v1/webhooks/stripe",
        "GET /v1/live",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
      ].sort(),
    );
  });

  test("has every route that the service has, apart from the pages", () => {
    const pages = ["/", "/docs", "/docs/init.js", "/docs/:asset", "/openapi.json"];
    for (const { method, path } of app.routes) {
      if (pages.includes(path)) continue;
      const documented = path.replace(/:(\w+)/g, "{$1}");
      expect([path, Object.keys(document.paths?.[documented] ?? {})]).toEqual([
        path,
        expect.arrayContaining([method.toLowerCase()]),
      ]);
    }
  });

  test("resolves all of its references", () => {
    let references = 0;
    for (const [value, path] of walk(document)) {
      if (path.at(-1) !== "$ref") continue;
      references++;
      const target = (value as string)
        .slice(2)
        .split("/")
        .reduce<Json | undefined>((at, key) => at?.[key], document);
      expect([value, typeof target]).toEqual([value, "object"]);
    }
    expect(references).toBeGreaterThan(20);
  });

  test("names its parameters, responses and security as the standard has them", () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    const schemes = Object.keys(document.components?.securitySchemes ?? {});
    for (const [path, item] of Object.entries<Json>(document.paths ?? {})) {
      for (const [method, operation] of Object.entries<Json>(item)) {
        const where = `${method} ${path}`;
        const inPath = (operation.parameters ?? ([] as Json[])).filter((parameter: Json) => parameter.in === "path");
        const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
        expect([where, inPath.map((parameter: Json) => parameter.name)]).toEqual([where, names as never]);
        expect(inPath.every((parameter: Json) => (parameter.required as unknown) === true)).toBe(true);
        const statuses = Object.keys(operation.responses ?? {});
        expect([where, statuses.some((status) => status.startsWith("2"))]).toEqual([where, true]);
        for (const status of statuses.filter((code) => code >= "400")) {
          expect(operation.responses?.[status]?.content).toHaveProperty(["application/problem+json"]);
        }
        const used = (operation.security ?? ([] as Json[])).flatMap((one: Json) => Object.keys(one));
        expect([where, used.every((name: string) => schemes.includes(name))]).toEqual([where, true]);
        expect([where, used.length > 0]).toEqual([where, path.startsWith("/v1/")]);
      }
    }
  });

  test("tells the event types apart by their type, from the schemas that check them", () => {
    const event = document.components?.schemas?.Event;
    expect(event?.discriminator).toMatchObject({
      propertyName: "type",
      mapping: { "payment.completed": "#/components/schemas/PaymentCompleted" },
    } as never);
    const completed = document.components?.schemas?.PaymentCompleted;
    expect(completed?.required).toEqual(["id", "type", "data"] as never);
    expect(completed?.additionalProperties as unknown).not.toBe(false);
    const { data } = (completed?.properties ?? {}) as Record<string, { required: string[] }>;
    expect(data?.required).toEqual(["payment", "customer"]);
  });

  test("says what a signed commit or rollback looks like, and that its body may be too large", () => {
    for (const decision of ["commit", "rollback"]) {
      const operation = document.paths[`/v1/events/{eventId}/${decision}`].post;
      expect(operation.description).toContain(`\`<eventId>/${decision}\``);
      expect(operation.description).toContain("an empty body");
      expect(operation.responses).toHaveProperty("413");
    }
  });

  test("gives an example that is valid", () => {
    const content = document.paths?.["/v1/events"]?.post?.requestBody?.content;
    expect(parseEvent(content?.["application/json"]?.example).ok).toBe(true);
  });
});

describe("the documentation", () => {
  test("brings all that it shows from here", async () => {
    const response = await app.request("/docs");
    expect(response.headers.get("content-type")).toStartWith("text/html");
    const page = await response.text();
    expect(page).not.toMatch(/https?:\/\//);
    const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]);
    expect(links).toHaveLength(4);
    for (const link of links) {
      const asset = await app.request(`/${link}`);
      expect([link, asset.status]).toEqual([link, 200]);
      expect((await asset.bytes()).length).toBeGreaterThan(50);
    }
    expect((await app.request("/docs/swagger-ui-bundle.js")).headers.get("content-type")).toContain("javascript");
    expect((await app.request("/docs/swagger-ui.css")).headers.get("content-type")).toContain("text/css");
  });

  test.each([
    "/docs/package.json",
    "/docs/index.html",
    "/docs/swagger-ui.js.map",
    "/docs/..%2fpackage.json",
    "/docs/..%2f..%2f..%2fpackage.json",
    "/docs/%2e%2e%2fhono%2fpackage.json",
    "/docs/..%5cpackage.json",
    "/docs/swagger-ui.css%00",
    "/docs/swagger-ui.css/../package.json",
    "/docs//etc/passwd",
    "/docs/%2fetc%2fpasswd",
    "/docs/__proto__",
    "/docs/",
  ])("serves nothing else: %s", async (path) => {
    const response = await app.request(path);
    expect(response.status).toBe(404);
    await problemOf(response);
  });
});

describe("the home page", () => {
  test("shows what waits and what is dead, and where to go on", async () => {
    const h = harness();
    h.messages.push(deadMessage("msg_1", "f00dcafe"), deadMessage("msg_2", "f00dcafe"));
    const response = await h.app.request("/");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toStartWith("text/html");
    const page = await response.text();
    for (const expected of ["critical", "<code>f00dcafe</code></td><td>2</td>", 'href="docs"', 'href="metrics"']) {
      expect(page).toContain(expected);
    }
    expect(page).toContain('href="openapi.json"');
  });

  test("names nobody", async () => {
    const h = harness();
    h.messages.push(deadMessage("msg_1"));
    const page = await (await h.app.request("/")).text();
    for (const personal of ["an@example.com", "BK-1042", "evt_7Q2", "msg_1", "no such user"]) {
      expect(page).not.toContain(personal);
    }
  });

  test("runs nothing that anybody wrote into it", async () => {
    const hostile = `"><script>alert(1)</script><img src=x onerror='alert(1)'>`;
    const h = harness({ ready: async () => hostile });
    h.messages.push(deadMessage("msg_1", hostile));
    h.queues.push({ name: hostile as "low", paused: true, queued: 0, sending: 0 });
    const response = await h.app.request("/");
    const page = await response.text();
    expect(page).not.toContain("<script");
    expect(page).not.toContain("<img");
    expect(page.match(/&lt;script&gt;/g)).toHaveLength(3);
    expect(response.headers.get("content-security-policy")).toStartWith("default-src 'none'");
  });

  test("says so when Redis is away", async () => {
    const away = () => Promise.reject(redisAway());
    const queues = { depths: away, counts: away, pause: away, resume: away };
    for (const [fault, says] of [
      [undefined, "Ready: events are taken in."],
      ["the journal is full", "Not ready: the journal is full"],
    ] as const) {
      const response = await harness({ queues, ready: async () => fault }).app.request("/");
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("text/html");
      const page = await response.text();
      expect(page).toContain(says);
      expect(page).toContain("Redis is away: nothing can be counted now.");
    }
  });
});

test("each route has a row that says all of it: the document and the service cannot differ", () => {
  const operations = Object.entries<Json>(document.paths).flatMap(([path, item]) =>
    Object.entries<Json>(item).map(([method, operation]) => ({ path, method, operation })),
  );
  const ids = operations.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { path, method, operation } of operations) {
    const statuses = Object.keys(operation.responses);
    const access = operation.security.flatMap(Object.keys);
    const where = `${method} ${path}`;
    expect([where, statuses.includes("401")]).toEqual([where, access.some((name: string) => /Key|Token/.test(name))]);
    expect([where, statuses.includes("413")]).toEqual([where, statuses.includes("415")]);
    expect([where, operation.requestBody !== undefined && !statuses.includes("400")]).toEqual([where, false]);
  }
});

test("a public linter finds nothing in the document", async () => {
  const config = await createConfig({ extends: ["recommended"] });
  const problems = await lintFromString({ source: JSON.stringify(document), config });
  expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual([]);
});
