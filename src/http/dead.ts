/* Dead letters: looked at, replayed one by one or in bulk, dropped. Admin only. */
import { z } from "zod";
import { address } from "../domain/door/email.ts";
import type { Message } from "../domain/lifecycle.ts";
import type { DeadLetters, DeadQuery, Messages } from "../stream/store.ts";
import { answer, PRIVATE } from "./answer.ts";
import { cursorParameter, limitParameter, textParameter } from "./input.ts";
import { idOf, messageId, replyOf } from "./messages.ts";
import { problem, refuse } from "./problem.ts";
import { type Route, route } from "./route.ts";
import { type BulkReply, bulkReply, deadReply, type LetterReply, replayedReply } from "./schemas.ts";

const PAGE = 200;

const fingerprint = textParameter(64);

const deadQuery = z.strictObject({
  fingerprint: fingerprint.exactOptional(),
  limit: limitParameter,
  cursor: cursorParameter,
});

const editInput = z.strictObject({
  recipient: address.exactOptional(),
  data: z
    .record(z.string(), z.unknown())
    .exactOptional()
    .meta({ description: "In the place of the event's `data`, whole." }),
});

const bulkInput = z
  .strictObject({
    fingerprint: fingerprint.exactOptional(),
    ids: z.array(z.string().min(1).max(128)).min(1).max(1000).exactOptional(),
    all: z.literal(true).exactOptional(),
    limit: z.int().min(1).max(10_000).default(1000),
    dryRun: z.boolean().default(false),
  })
  .refine(
    ({ fingerprint, ids, all, dryRun }) => dryRun || fingerprint !== undefined || ids !== undefined || all === true,
    "must name a fingerprint, ids, or all: true; a dry run alone is of all",
  );

export function deadRoutes(dead: DeadLetters, messages: Messages): Route[] {
  const common = { access: "admin", tag: "dead letters" } as const;
  return [
    route({
      ...common,
      method: "get",
      path: "/v1/dead",
      name: "listDead",
      summary: "List dead letters",
      about: "A parameter that is set to nothing counts as not given.",
      query: deadQuery,
      answers: { 200: { about: "A page, and all causes", schema: deadReply } },
      refuses: [503],
      async handle(_, { query }) {
        const [page, groups] = await Promise.all([dead.list(query), dead.groups()]);
        return answer({ items: page.items.map(letterOf), groups, cursor: page.cursor ?? null });
      },
    }),
    route({
      ...common,
      method: "post",
      path: "/v1/dead/replay",
      name: "replayDead",
      summary: "Replay many",
      about:
        "Takes at least one of `fingerprint`, `ids` and `all: true`. With `dryRun`, says what it would do, of all where none is given.",
      json: bulkInput,
      body: { schema: bulkInput, example: { fingerprint: "3f1c0d9a77be", dryRun: true }, required: true },
      answers: { 200: { about: "A dry run", schema: bulkReply }, 202: { about: "Replayed", schema: bulkReply } },
      refuses: [503],
      async handle(_, { json }) {
        const ids = await match(json, dead, messages);
        const replayed = json.dryRun ? 0 : await replayAll(ids, dead);
        const reply: BulkReply = { dryRun: json.dryRun, matched: ids.length, replayed, ids };
        return answer(reply, json.dryRun ? 200 : 202);
      },
    }),
    route({
      ...common,
      method: "post",
      path: "/v1/dead/:id/replay",
      name: "replayDeadLetter",
      summary: "Replay one",
      params: messageId,
      json: editInput,
      body: { schema: editInput, example: { recipient: "an@example.com" } },
      answers: { 202: { about: "Queued again", schema: replayedReply } },
      refuses: [404, 409, 503],
      async handle(c, { json }) {
        const id = idOf(c);
        const result = id === undefined ? "not_found" : await dead.replay(id, json);
        if (typeof result === "object") {
          const errors = result.problems;
          return refuse(problem("invalid-event", "The event as edited is not valid.", errors));
        }
        return result === "replayed" ? answer({ id, result }, 202) : missed(result);
      },
    }),
    route({
      ...common,
      method: "delete",
      path: "/v1/dead/:id",
      name: "dropDeadLetter",
      summary: "Drop one for good",
      params: messageId,
      answers: { 204: { about: "Gone" } },
      refuses: [404, 409, 503],
      async handle(c) {
        const id = idOf(c);
        const result = id === undefined ? "not_found" : await dead.drop(id);
        return result === "dropped" ? new Response(null, { status: 204, headers: PRIVATE }) : missed(result);
      },
    }),
  ];
}

function letterOf(message: Message): LetterReply {
  return { ...replyOf(message), ...(message.event && { event: { ...message.event } }) };
}

/** Collected before the first replay, which changes the list that is paged through. */
async function match(input: z.infer<typeof bulkInput>, dead: DeadLetters, messages: Messages): Promise<string[]> {
  const found: string[] = [];
  if (input.ids !== undefined) {
    const named = [...new Set(input.ids)];
    for (const message of await Promise.all(named.map((id) => messages.byId(id)))) {
      if (message?.death === undefined) continue;
      if (input.fingerprint === undefined || input.fingerprint === message.death.fingerprint) found.push(message.id);
    }
    return found.slice(0, input.limit);
  }
  let query: DeadQuery | undefined = { limit: PAGE, ...(input.fingerprint && { fingerprint: input.fingerprint }) };
  while (query !== undefined && found.length < input.limit) {
    const page = await dead.list(query);
    found.push(...page.items.map(({ id }) => id));
    query = page.cursor === undefined ? undefined : { ...query, cursor: page.cursor };
  }
  return found.slice(0, input.limit);
}

async function replayAll(ids: readonly string[], dead: DeadLetters): Promise<number> {
  let replayed = 0;
  for (let from = 0; from < ids.length; from += PAGE) {
    const results = await Promise.all(ids.slice(from, from + PAGE).map((id) => dead.replay(id, {})));
    replayed += results.filter((result) => result === "replayed").length;
  }
  return replayed;
}

function missed(result: "not_found" | "not_dead"): Response {
  if (result === "not_found") return refuse(problem("not-found", "There is no such message."));
  return refuse(problem("not-dead", "Only a message that is dead, or unknown and held, can be replayed or dropped."));
}
