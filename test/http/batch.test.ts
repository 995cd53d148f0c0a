import { describe, expect, test } from "bun:test";
import { accepted, asIngest, event, harness, post, problemOf, redisAway } from "./support.ts";

const PATH = "/v1/events/batch";

interface Result {
  status: number;
  eventId?: string;
  type?: string;
  errors?: { pointer: string }[];
  notes?: object[];
}

const numbered = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    event((e) => {
      e.id = `evt_${i}`;
    }),
  );

async function resultsOf(response: Response): Promise<Result[]> {
  expect(response.status).toBe(202);
  return ((await response.json()) as { results: Result[] }).results;
}

describe("a batch", () => {
  test("as a JSON array is answered one by one, in order", async () => {
    const { app, posted } = harness();
    const results = await resultsOf(await post(app, PATH, ` \r\n${JSON.stringify(numbered(3))}\n`));
    expect(results.map(({ status, eventId }) => [status, eventId])).toEqual([
      [202, "evt_0"],
      [202, "evt_1"],
      [202, "evt_2"],
    ]);
    expect(Object.keys(results[0] ?? {}).sort()).toEqual(
      ["status", "id", "eventId", "state", "dueAt", "duplicate", "durability"].sort(),
    );
    expect(posted).toHaveLength(3);
  });

  test("as NDJSON may have blank lines, CR LF and no newline at its end", async () => {
    const { app } = harness();
    const lines = numbered(3).map((one) => JSON.stringify(one));
    const results = await resultsOf(await post(app, PATH, `\n\n${lines.join("\r\n \r\n")}`));
    expect(results.map(({ eventId }) => eventId)).toEqual(["evt_0", "evt_1", "evt_2"]);
  });

  test("with a bad event in the middle takes the others, in both forms", async () => {
    const [first, , last] = numbered(3);
    const array = JSON.stringify([first, { ...event(), data: {} }, last]);
    const lines = [first, "{ broken", last]
      .map((one) => (typeof one === "string" ? one : JSON.stringify(one)))
      .join("\n");
    for (const [body, type] of [
      [array, "urn:postpaid:problem:invalid-event"],
      [lines, "urn:postpaid:problem:invalid-request"],
    ] as const) {
      const { app, posted } = harness();
      const results = await resultsOf(await post(app, PATH, body));
      expect(results.map(({ status }) => status)).toEqual([202, 400, 202]);
      expect(results[1]).toMatchObject({ type });
      expect(posted.map(({ id }) => id)).toEqual(["evt_0", "evt_2"]);
    }
  });

  test("that says it is NDJSON is read by lines, also when its first line begins with a bracket", async () => {
    const lines = ["[1]", "[ broken", JSON.stringify(event())].join("\n");
    for (const type of ["application/x-ndjson", "application/ndjson; charset=utf-8", "Application/X-NDJSON"]) {
      const { app, posted } = harness();
      const results = await resultsOf(await post(app, PATH, lines, { ...asIngest, "content-type": type }));
      expect(results.map(({ status }) => status)).toEqual([400, 400, 202]);
      expect(posted).toHaveLength(1);
    }
    const headers = { ...asIngest, "content-type": "application/json" };
    expect((await post(harness().app, PATH, lines, headers)).status).toBe(400);
  });

  test.each([
    JSON.stringify(event(), null, 2),
    `\n${JSON.stringify({ note: "x".repeat(70_000), lines: Array(2000).fill(1), ...event() }, null, "\t")}\r\n`,
    '"evt_1"',
    " 1 ",
    "null",
  ])("that is one JSON value, but neither an array nor an event on a line, is refused with 400", async (body) => {
    for (const type of ["application/json", "application/x-ndjson"]) {
      const { app, posted } = harness();
      const response = await post(app, PATH, body, { ...asIngest, "content-type": type });
      expect(response.status).toBe(400);
      expect((await problemOf(response)).detail).toStartWith("A batch is a JSON array, or NDJSON");
      expect(posted).toEqual([]);
    }
  });

  test("of one line is one event, and of lines that are none has a problem for each", async () => {
    const statuses = async (body: string) =>
      (await resultsOf(await post(harness().app, PATH, body))).map(({ status }) => status);
    expect(await statuses(JSON.stringify(event()))).toEqual([202]);
    expect(await statuses(`\n  {}  \n`)).toEqual([400]);
    expect(await statuses("{ broken")).toEqual([400]);
    expect(await statuses(JSON.stringify({ ...event(), note: "x".repeat(65_536) }))).toEqual([413]);
    expect(await statuses(`null\n${JSON.stringify(event())}`)).toEqual([400, 202]);
    expect(await statuses("1\n2")).toEqual([400, 400]);
  });

  test("measures an event as it was sent, in both forms", async () => {
    const large = (note: string) =>
      JSON.stringify(event((e) => Object.assign(e.data, { note: "@" }))).replace('"@"', note);
    const exact = (bytes: number) => large(`"${"x".repeat(bytes - Buffer.byteLength(large('""')))}"`);
    const sizes: [string, number][] = [
      [exact(65_536), 202],
      [exact(65_537), 413],
      [large(`[${Array(12_000).fill("1e20").join()}]`), 202], // twice as long when it is written anew
      [large(`"${"\\u1ed9".repeat(11_000)}"`), 413], // half as long
      [large(`[${" ".repeat(65_536)}]`), 413],
      [large(`"${"ộ".repeat(22_000)}"`), 413], // in characters it would fit
    ];
    const [first, last] = numbered(2).map((one) => JSON.stringify(one));
    for (const [one, expected] of sizes) {
      for (const body of [`[${first}, ${one} ,${last}]`, `[${first},${one}]`, `${first}\n${one}\n${last}`]) {
        const [, status] = (await resultsOf(await post(harness().app, PATH, body))).map((result) => result.status);
        expect(status).toBe(expected);
      }
      expect((await post(harness().app, "/v1/events", one)).status).toBe(expected);
    }
    const padded = `[${first}${" ".repeat(70_000)}]${"\n".repeat(70_000)}`;
    expect((await resultsOf(await post(harness().app, PATH, padded))).map(({ status }) => status)).toEqual([202]);
  });

  test("points into the event, not into the batch", async () => {
    const results = await resultsOf(await post(harness().app, PATH, [{ ...event(), id: null }, 1, null, []]));
    expect(results.map(({ errors }) => errors?.[0]?.pointer)).toEqual(["/id", "", "", ""]);
  });

  test("of 1000 events is taken, of 1001 is 413, in both forms", async () => {
    const events = numbered(1001);
    const lines = (count: number) =>
      events
        .slice(0, count)
        .map((one) => JSON.stringify(one))
        .join("\n");
    for (const form of [(count: number) => JSON.stringify(events.slice(0, count)), lines]) {
      const { app, posted } = harness();
      expect(await resultsOf(await post(app, PATH, form(1000)))).toHaveLength(1000);
      expect(posted).toHaveLength(1000);
      const response = await post(app, PATH, form(1001));
      expect(response.status).toBe(413);
      expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:too-large" });
      expect(posted).toHaveLength(1000);
    }
  });

  test("is posted within one turn, so that it travels together", async () => {
    const h = harness();
    const { promise, resolve } = Promise.withResolvers<void>();
    h.answer = async (one) => {
      if (h.posted.length === 50) resolve(); // the first answers wait for the last post
      await promise;
      return accepted(one);
    };
    expect(await resultsOf(await post(h.app, PATH, numbered(50)))).toHaveLength(50);
  });

  test.each(["", " \n\n ", "[]", " [ ] ", "\u{feff}"])("without events is refused with 400: %j", async (body) => {
    const response = await post(harness().app, PATH, body);
    expect(response.status).toBe(400);
    await problemOf(response);
  });

  test.each(["[", "[{}", "[]]", '[{"id":1},]', "\u00a0[]"])(
    "that is a broken array is refused with 400: %s",
    async (body) => {
      const response = await post(harness().app, PATH, body);
      expect(response.status).toBe(400);
      expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:invalid-request" });
    },
  );

  test("has 8 MiB at most, and each event 64 KiB", async () => {
    const { app, posted } = harness();
    const large = event((e) => {
      e.data.note = "x".repeat(65_536);
    });
    const [first] = numbered(1);
    for (const body of [JSON.stringify([large, first]), `${JSON.stringify(large)}\n${JSON.stringify(first)}`]) {
      const results = await resultsOf(await post(app, PATH, body));
      expect(results.map(({ status }) => status)).toEqual([413, 202]);
    }
    expect(posted).toHaveLength(2);
    expect((await post(app, PATH, "\n".repeat(8 * 1024 * 1024))).status).toBe(400);
    expect((await post(app, PATH, "\n".repeat(8 * 1024 * 1024 + 1))).status).toBe(413);
  });

  test("that is nested without end is refused, quickly", async () => {
    const { app, logged } = harness();
    const startedAt = performance.now();
    const statuses = async (body: string) => (await resultsOf(await post(app, PATH, body))).map(({ status }) => status);
    expect(await statuses("[".repeat(4_000_000) + "]".repeat(4_000_000))).toEqual([413]);
    expect(await statuses('{"a":'.repeat(13_000))).toEqual([400]);
    expect((await post(app, PATH, "[".repeat(8_000_000))).status).toBe(400);
    expect(performance.now() - startedAt).toBeLessThan(3000);
    expect(logged).toEqual([]);
  });

  test("takes an event that is nested too deep without that, and says so", async () => {
    const { app } = harness();
    const [first, deep, last] = numbered(3).map((one) => JSON.stringify(one));
    const arrays = "[".repeat(100) + "]".repeat(100);
    const results = await resultsOf(
      await post(app, PATH, `[${first},${deep?.replace('"data":{', `"data":{"x":${arrays},`)},${last}]`),
    );
    expect(results.map(({ status, notes }) => [status, notes?.length])).toEqual([
      [202, undefined],
      [202, 1],
      [202, undefined],
    ]);
  });

  test.each([500, 512, 513, 100_000])(
    "takes the others when one element is %d arrays deep, in both forms",
    async (levels) => {
      const [first, last] = numbered(2).map((one) => JSON.stringify(one));
      const deep = "[".repeat(levels) + "]".repeat(levels);
      const object = `{"a":"]\\",[","b":[${deep},1]}`;
      for (const one of [deep, ` ${deep} `, object]) {
        for (const body of [`[${first},${one},${last}]`, `${first}\n${one}\n${last}`]) {
          const { app, posted } = harness();
          const results = await resultsOf(await post(app, PATH, body));
          const expected = one.length > 65_536 ? 413 : 400;
          expect(results.map(({ status }) => status)).toEqual([202, expected, 202]);
          expect(posted.map(({ id }) => id)).toEqual(["evt_0", "evt_1"]);
        }
      }
      const { app } = harness();
      const results = await resultsOf(await post(app, PATH, `[${deep},${first},${object},${object}]`));
      const expected = deep.length > 65_536 ? 413 : 400;
      expect(results.map(({ status }) => status)).toEqual([expected, 202, expected, expected]);
    },
  );

  test.each(["[{},%]}", "[{},%", "[%]]", "[%],", "[%,]", "[%}", "[{},%] {}", "[%,{]"])(
    "with a broken array around what is nested too deep is refused with 400: %s",
    async (form) => {
      const { app, posted } = harness();
      const deep = "[".repeat(600) + "]".repeat(600);
      const response = await post(app, PATH, form.replace("%", deep));
      expect(response.status).toBe(400);
      expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:invalid-request" });
      expect(posted).toEqual([]);
    },
  );

  test("as NDJSON takes the others when one line is broken UTF-8; an array has no such lines", async () => {
    const [first, last] = numbered(2).map((one) => JSON.stringify(one));
    const around = (before: string, after: string) =>
      Buffer.concat([Buffer.from(before), Buffer.from([0x7b, 0xff, 0x7d]), Buffer.from(after)]);
    const { app, posted } = harness();
    const results = await resultsOf(await post(app, PATH, around(`${first}\n`, `\n${last}\n`)));
    expect(results.map(({ status }) => status)).toEqual([202, 400, 202]);
    expect(results[1]).toMatchObject({ type: "urn:postpaid:problem:invalid-request" });
    expect(posted.map(({ id }) => id)).toEqual(["evt_0", "evt_1"]);
    expect((await post(app, PATH, around(`[${first},`, `,${last}]`))).status).toBe(400);
    expect(posted).toHaveLength(2);
  });

  test("answers 503 only when every event met one", async () => {
    const h = harness();
    h.answer = (one) => (one.id === "evt_1" ? accepted(one) : { kind: "unavailable", reason: "Redis is away" });
    const results = await resultsOf(await post(h.app, PATH, numbered(3)));
    expect(results.map(({ status }) => status)).toEqual([503, 202, 503]);
    for (const answer of [() => ({ kind: "full", limit: 5 }) as const, () => Promise.reject(redisAway())]) {
      h.answer = answer;
      const response = await post(h.app, PATH, numbered(3));
      expect(response.status).toBe(503);
      expect(response.headers.get("retry-after")).not.toBeNull();
      await problemOf(response);
    }
  });

  test("in which one event meets a bug still takes the others", async () => {
    const h = harness();
    h.answer = (one) => (one.id === "evt_1" ? Promise.reject(new Error("a bug")) : accepted(one));
    const results = await resultsOf(await post(h.app, PATH, numbered(3)));
    expect(results.map(({ status }) => status)).toEqual([202, 500, 202]);
    expect(h.logged).toMatchObject([{ level: 50, msg: "request failed", route: PATH }]);
  });
});
