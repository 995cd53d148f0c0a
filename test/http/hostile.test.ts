import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Event } from "../../src/domain/event.ts";
import { event, harness, post, problemOf } from "./support.ts";

const PATH = "/v1/events";

const STRINGS = [
  "/id",
  "/type",
  "/occurredAt",
  "/data/booking/id",
  "/data/booking/title",
  "/data/booking/startsAt",
  "/data/booking/items/0/name",
  "/data/payment/id",
  "/data/payment/currency",
  "/data/payment/method",
  "/data/customer/email",
  "/data/customer/name",
  "/data/customer/locale",
  "/options/priority",
];

function withValue(pointer: string, value: string) {
  return event((e) => {
    const path = pointer.slice(1).split("/");
    const last = path.pop() ?? "";
    path.reduce((at, key) => at[key], e)[last] = value;
  });
}

describe("a hostile body", () => {
  test.each(["\r\nBcc: all@example.com", "\n", "\r", "\u0000", "\u2028", "\u0085"])(
    "with %j in a string field is refused at that field, or becomes one clean line",
    async (control) => {
      for (const pointer of STRINGS) {
        for (const value of [`an@example.com${control}`, `${control}x`, `an@example.com${control}x`]) {
          const { app, posted } = harness();
          const response = await post(app, PATH, withValue(pointer, value));
          if (response.status === 400) {
            expect(pointer).toBeOneOf(["/type", "/data/customer/email"]);
            expect((await problemOf(response)).errors?.map((error) => error.pointer)).toEqual([pointer]);
            continue;
          }
          expect([pointer, response.status]).toEqual([pointer, 202]);
          const [{ notes, ...kept }] = posted as [Event];
          expect(JSON.stringify(kept)).not.toMatch(/\\[nrtu]|[\u0080-\u009f\u2028]/);
          if (pointer !== "/data/customer/email") expect(notes?.[0]?.pointer).toBe(pointer);
        }
      }
    },
  );

  test("cannot reach a prototype", async () => {
    const { app, posted } = harness();
    const json = JSON.stringify(event());
    const top = await post(app, PATH, json.replace("{", '{"__proto__":{"polluted":1},'));
    expect(top.status).toBe(202);
    expect(await top.json()).toMatchObject({ notes: [{ pointer: "/__proto__" }] });
    const inside = json.replace(
      '"booking":{',
      '"constructor":{"prototype":{"polluted":1}},"booking":{"__proto__":{"polluted":1},',
    );
    expect((await post(app, PATH, inside)).status).toBe(202);
    expect(Object.keys(posted[1]?.data.booking ?? {})).not.toContain("__proto__");
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    const alone = await post(app, PATH, '{"__proto__":{"id":"evt_1","type":"payment.completed"}}');
    expect(alone.status).toBe(400);
    expect((await post(app, PATH, '{"type":"constructor"}')).status).toBe(400);
    expect((await post(app, PATH, '{"type":"__proto__"}')).status).toBe(400);
  });

  test.each([33, 500, 1000, 10_000, 32_000])(
    "nested %d levels deep is refused with 400 where a mail needs it, else left out or refused as a whole",
    async (levels) => {
      const { app, posted, logged } = harness();
      const arrays = "[".repeat(levels) + "]".repeat(levels);
      const json = JSON.stringify(event());
      for (const body of [
        `{"type":${arrays}}`,
        `{"id":${arrays},"type":"payment.completed"}`,
        `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`,
      ]) {
        if (body.length > 65_536) continue;
        const response = await post(app, PATH, body);
        expect(response.status).toBe(400);
        await problemOf(response);
      }
      expect((await post(app, PATH, "[".repeat(65_536))).status).toBe(400);
      expect([posted, logged]).toEqual([[], []]);
      const extra = await post(app, PATH, json.replace('"booking":{', `"booking":{"extra":${arrays},`));
      expect(extra.status).toBe(levels > 500 ? 400 : 202);
      if (extra.status === 202) expect(await extra.json()).toMatchObject({ notes: [{}] });
    },
  );

  test("may have any number of brackets in its strings", async () => {
    const note = '[{"\\'.repeat(1000);
    const response = await post(
      harness().app,
      PATH,
      event((e) => Object.assign(e.data, { note })),
    );
    expect(response.status).toBe(202);
  });

  test("of any bytes or any JSON never gets a 5xx, nor a line in the log", async () => {
    const { app, logged } = harness();
    const bytes = fc.uint8Array({ maxLength: 200 });
    const anything = fc.anything({ withNullPrototype: false }).map((value) => JSON.stringify(value) ?? "");
    const nearly = fc
      .tuple(fc.constantFrom("id", "data", "options", "occurredAt", "type"), fc.json())
      .map(([field, json]) => JSON.stringify({ ...event(), [field]: JSON.parse(json) }));
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes, anything, nearly), async (body) => {
        for (const path of [PATH, "/v1/events/batch"]) {
          expect((await post(app, path, body)).status).toBeOneOf([202, 400]);
        }
      }),
      { numRuns: 500 },
    );
    expect(logged).toEqual([]);
  });
});
