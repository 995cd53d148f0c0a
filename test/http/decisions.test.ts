import { describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import type { Committed, RolledBack } from "../../src/domain/ingress.ts";
import { harness, INGEST_KEY } from "./support.ts";

const KEYED = { authorization: "Bearer ingest-key-one" };

async function decide(
  path: string,
  answer: Partial<{ commit: Committed; rollback: RolledBack }>,
  headers: Record<string, string> = KEYED,
  body?: string,
) {
  const self = harness();
  const asked: string[] = [];
  const { commit, rollback } = answer;
  const noted =
    <T>(answer: T) =>
    (eventId: string) => {
      asked.push(eventId);
      return answer;
    };
  if (commit) self.commit = noted(commit);
  if (rollback) self.rollback = noted(rollback);
  const response = await self.app.request(path, { method: "POST", headers, ...(body !== undefined && { body }) });
  return {
    status: response.status,
    asked,
    retryAfter: response.headers.get("retry-after"),
    body: await response.json(),
  };
}

function signed(webhookId: string, body = "") {
  const webhook = new Webhook(new TextEncoder().encode(INGEST_KEY), { format: "raw" });
  const at = new Date();
  return {
    "webhook-id": webhookId,
    "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
    "webhook-signature": webhook.sign(webhookId, at, body),
  };
}

const answers = {
  commit: { kind: "committed", messageId: "msg_1", state: "queued", dueAt: 0 },
  rollback: { kind: "cancelled", messageId: "msg_1", state: "cancelled" },
} as const;

describe("a commit", () => {
  const cases: [Committed, number, Record<string, unknown>][] = [
    [
      { kind: "committed", messageId: "msg_1", state: "queued", dueAt: 0 },
      200,
      { result: "committed", state: "queued" },
    ],
    [{ kind: "journaled", messageId: "msg_1" }, 202, { result: "journaled", durability: "journaled" }],
    [{ kind: "cancelled", messageId: "msg_1" }, 409, { type: "urn:postpaid:problem:rolled-back" }],
    [{ kind: "not_found" }, 404, { type: "urn:postpaid:problem:not-found" }],
    [{ kind: "unavailable", reason: "Redis is away" }, 503, { type: "urn:postpaid:problem:unavailable" }],
  ];
  for (const [commit, status, fields] of cases) {
    test(`that is ${commit.kind} is answered ${status}`, async () => {
      const seen = await decide("/v1/events/evt_1/commit", { commit });
      expect(seen).toMatchObject({ status, asked: ["evt_1"], body: fields });
      expect(seen.retryAfter).toBe(status === 503 ? "2" : null);
    });
  }
});

describe("a rollback", () => {
  const cases: [RolledBack, number, Record<string, unknown>][] = [
    [{ kind: "cancelled", messageId: "msg_1", state: "cancelled" }, 200, { result: "cancelled", state: "cancelled" }],
    [{ kind: "in_flight", messageId: "msg_1", state: "sending" }, 200, { result: "in_flight", state: "sending" }],
    [{ kind: "too_late", messageId: "msg_1", state: "sent" }, 200, { result: "too_late", state: "sent" }],
    [{ kind: "journaled", messageId: "msg_1" }, 202, { result: "journaled", durability: "journaled" }],
    [{ kind: "unavailable", reason: "Redis is away" }, 503, { type: "urn:postpaid:problem:unavailable" }],
  ];
  for (const [rollback, status, fields] of cases) {
    test(`that is ${rollback.kind} is answered ${status}`, async () => {
      expect(await decide("/v1/events/evt_1/rollback", { rollback })).toMatchObject({ status, body: fields });
    });
  }
});

describe("either", () => {
  for (const verb of ["commit", "rollback"]) {
    test(`${verb} without an ingest key is 401, and decides nothing`, async () => {
      const seen = await decide(`/v1/events/evt_1/${verb}`, {}, { authorization: "Bearer nonsense" });
      expect(seen).toMatchObject({ status: 401, asked: [] });
    });

    test(`${verb} of what cannot be an event's id is 400`, async () => {
      expect((await decide(`/v1/events/${"x".repeat(201)}/${verb}`, {})).status).toBe(400);
      expect((await decide(`/v1/events/%20%0d%0a/${verb}`, {})).status).toBe(400);
    });

    test(`${verb} of an id in any script, and in any form, is of the event that has it`, async () => {
      for (const id of ["đơn n°110", "a/b?c#d%25", " đơn  n°110\n", "đơn n°110".normalize("NFD")]) {
        const seen = await decide(`/v1/events/${encodeURIComponent(id)}/${verb}`, answers);
        expect(seen.asked).toEqual([id.startsWith("a") ? id : "đơn n°110"]);
      }
    });

    test(`${verb} is signed with an id that a header cannot hold, percent-encoded`, async () => {
      const path = `/v1/events/${encodeURIComponent("đơn 1")}/${verb}`;
      expect(await decide(path, answers, signed(`${encodeURIComponent("đơn 1")}/${verb}`))).toMatchObject({
        status: 200,
        asked: ["đơn 1"],
      });
      const other = signed(`${encodeURIComponent("đơn 2")}/${verb}`);
      expect(await decide(path, answers, other)).toMatchObject({ status: 401, asked: [] });
      const ascii = signed(`${encodeURIComponent("evt:1")}/${verb}`);
      expect(await decide(`/v1/events/evt:1/${verb}`, answers, ascii)).toMatchObject({ status: 401, asked: [] });
    });
  }
});

test("a body beside a bearer token is ignored", async () => {
  const rollback: RolledBack = { kind: "cancelled", messageId: "msg_1", state: "cancelled" };
  const seen = await decide("/v1/events/evt_1/rollback", { rollback }, KEYED, "{}");
  expect(seen).toMatchObject({ status: 200, asked: ["evt_1"] });
});

test("a commit of an event that is not there says nothing of the dedup window, which does not matter to it", async () => {
  const { body } = await decide("/v1/events/evt_1/commit", { commit: { kind: "not_found" } });
  expect(body).toMatchObject({ detail: "There is no event with this id, or it is no longer kept." });
});

describe("a signed decision", () => {
  const rollback: RolledBack = { kind: "cancelled", messageId: "msg_1", state: "cancelled" };

  test("is taken under the id that says what it decides", async () => {
    const seen = await decide("/v1/events/evt_1/rollback", { rollback }, signed("evt_1/rollback"));
    expect(seen).toMatchObject({ status: 200, asked: ["evt_1"] });
  });

  test("has an empty body, so that the post of an event a9/commit is no decision about a9", async () => {
    const post = '{"id":"a9/commit"}';
    for (const [verb, body] of [
      ["commit", post],
      ["rollback", post],
      ["commit", " "],
    ] as const) {
      const seen = await decide(`/v1/events/a9/${verb}`, { rollback }, signed(`a9/${verb}`, body), body);
      expect(seen).toMatchObject({ status: 401, asked: [], body: { detail: expect.stringContaining("no body") } });
    }
  });

  test("that was captured decides nothing else: neither another event nor the other way", async () => {
    for (const webhookId of ["evt_2/rollback", "evt_1/commit", "evt_1"]) {
      const seen = await decide("/v1/events/evt_1/rollback", { rollback }, signed(webhookId));
      expect(seen).toMatchObject({ status: 401, asked: [] });
    }
  });
});
