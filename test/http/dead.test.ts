import { describe, expect, test } from "bun:test";
import { asAdmin, deadMessage, event, harness, message, post, problemOf } from "./support.ts";

function withDead(...fingerprints: string[]) {
  const h = harness();
  h.messages.push(message({ id: "msg_sent" }), ...fingerprints.map((print, i) => deadMessage(`msg_${i}`, print)));
  return h;
}

const admin = (h: ReturnType<typeof harness>, path: string, body: unknown = "") => post(h.app, path, body, asAdmin);

const remove = (h: ReturnType<typeof harness>, id: string) =>
  h.app.request(`/v1/dead/${id}`, { method: "DELETE", headers: asAdmin });

describe("the list of dead letters", () => {
  test("has the reason of each, and the groups", async () => {
    const h = withDead("aa", "bb", "aa");
    const response = await h.app.request("/v1/dead?limit=2", { headers: asAdmin });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      items: [
        { id: "msg_0", reason: "550 5.1.1 no such user", fingerprint: "aa", deadAt: "2026-11-24T09:30:50.000Z" },
        { id: "msg_1", fingerprint: "bb" },
      ],
      groups: [
        { fingerprint: "aa", count: 2 },
        { fingerprint: "bb", count: 1 },
      ],
      cursor: "2",
    });
  });

  test("can be narrowed to one fingerprint, and refuses what it does not know", async () => {
    const h = withDead("aa", "bb");
    const one = (await (await h.app.request("/v1/dead?fingerprint=bb", { headers: asAdmin })).json()) as {
      items: { id: string }[];
    };
    expect(one.items.map(({ id }) => id)).toEqual(["msg_1"]);
    const response = await h.app.request("/v1/dead?state=dead", { headers: asAdmin });
    expect(response.status).toBe(400);
    expect((await problemOf(response)).errors).toEqual([{ parameter: "state", detail: "is not known here" }]);
  });
});

describe("one dead letter", () => {
  test("is replayed, as it is or to another address", async () => {
    const h = withDead("aa", "aa");
    const response = await admin(h, "/v1/dead/msg_0/replay");
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ id: "msg_0", result: "replayed" });
    expect((await admin(h, "/v1/dead/msg_1/replay", { recipient: "binh@example.com" })).status).toBe(202);
    expect(h.replays).toEqual([
      ["msg_0", {}],
      ["msg_1", { recipient: "binh@example.com" }],
    ]);
  });

  test("is replayed to an address in its normal form", async () => {
    const h = withDead("aa");
    await admin(h, "/v1/dead/msg_0/replay", { recipient: "An <tran..an@bücher.example>" });
    expect(h.replays).toEqual([["msg_0", { recipient: '"tran..an"@xn--bcher-kva.example' }]]);
  });

  test.each([
    [{ recipient: "an@example.com, binh@example.com" }, "/recipient"],
    [{ recipient: "an@example.com\r\nBcc: x@example.com" }, "/recipient"],
    [{ recipient: "" }, "/recipient"],
    [{ recipient: 1 }, "/recipient"],
    [{ to: "an@example.com" }, "/to"],
    [{ data: [] }, "/data"],
    [{ data: "x" }, "/data"],
    [[], ""],
    ["null", ""],
  ])("is not replayed with %j", async (edit, pointer) => {
    const h = withDead("aa");
    const response = await admin(h, "/v1/dead/msg_0/replay", edit);
    expect(response.status).toBe(400);
    expect((await problemOf(response)).errors?.map((error) => error.pointer)).toEqual([pointer]);
    expect(h.replays).toEqual([]);
  });

  test("is shown with its event, and replayed with other data", async () => {
    const h = withDead("aa");
    const { items } = (await (await h.app.request("/v1/dead", { headers: asAdmin })).json()) as { items: object[] };
    expect(items).toEqual([expect.objectContaining({ id: "msg_0", event: event() })]);
    const { data } = event((it) => {
      it.data.booking.title = "Mended";
    });
    expect((await admin(h, "/v1/dead/msg_0/replay", { data })).status).toBe(202);
    expect(h.replays).toEqual([["msg_0", { data }]]);
  });

  test("whose event as edited is none is 400, with a pointer to each bad field", async () => {
    const h = withDead("aa");
    const problems = [{ pointer: "/data/booking/id", detail: "is missing" }];
    h.deps.dead.replay = async () => ({ problems });
    const response = await admin(h, "/v1/dead/msg_0/replay", { data: {} });
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:invalid-event", errors: problems });
  });

  test("is dropped for good", async () => {
    const h = withDead("aa");
    const response = await remove(h, "msg_0");
    expect(response.status).toBe(204);
    expect(await response.text()).toBe("");
    expect((await remove(h, "msg_0")).status).toBe(404);
  });

  test("that is none is 404, or 409 when the message is not dead", async () => {
    const h = withDead();
    for (const response of [await admin(h, "/v1/dead/msg_none/replay"), await remove(h, "%00")]) {
      expect(response.status).toBe(404);
      expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:not-found" });
    }
    for (const response of [await admin(h, "/v1/dead/msg_sent/replay"), await remove(h, "msg_sent")]) {
      expect(response.status).toBe(409);
      expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:not-dead" });
    }
  });
});

describe("a replay of many", () => {
  test("with dryRun says what it would do, and does nothing", async () => {
    const h = withDead("aa", "bb", "aa");
    const response = await admin(h, "/v1/dead/replay", { fingerprint: "aa", dryRun: true });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ dryRun: true, matched: 2, replayed: 0, ids: ["msg_0", "msg_2"] });
    expect(h.replays).toEqual([]);
  });

  test("with dryRun alone is of all, as it changes nothing", async () => {
    const h = withDead("aa", "bb");
    const response = await admin(h, "/v1/dead/replay", { dryRun: true });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ dryRun: true, matched: 2, replayed: 0, ids: ["msg_0", "msg_1"] });
    expect(h.replays).toEqual([]);
  });

  test("takes a fingerprint, ids, both, or all", async () => {
    for (const [body, ids] of [
      [{ fingerprint: "aa" }, ["msg_0", "msg_2"]],
      [{ ids: ["msg_1", "msg_none", "msg_sent", "msg_1"] }, ["msg_1"]],
      [{ ids: ["msg_1", "msg_2"], fingerprint: "aa" }, ["msg_2"]],
      [{ all: true }, ["msg_0", "msg_1", "msg_2"]],
      [{ all: true, limit: 1 }, ["msg_0"]],
    ] as const) {
      const h = withDead("aa", "bb", "aa");
      const response = await admin(h, "/v1/dead/replay", body);
      expect(response.status).toBe(202);
      expect(await response.json()).toEqual({
        dryRun: false,
        matched: ids.length,
        replayed: ids.length,
        ids: [...ids],
      });
      expect(h.replays.map(([id]) => id)).toEqual([...ids]);
    }
  });

  test("goes through all the pages", async () => {
    const h = withDead(...Array.from({ length: 450 }, () => "aa"));
    const reply = await (await admin(h, "/v1/dead/replay", { all: true })).json();
    expect(reply).toMatchObject({ matched: 450, replayed: 450 });
  });

  test.each([
    {},
    { limit: 5 },
    { all: false },
    { dryRun: false },
    { ids: [] },
    { all: true, limit: 0 },
    { all: true, dryrun: true },
    "x",
  ])("refuses %j with 400", async (body) => {
    const h = withDead("aa");
    const response = await admin(h, "/v1/dead/replay", body);
    expect(response.status).toBe(400);
    await problemOf(response);
    expect(h.replays).toEqual([]);
  });
});
