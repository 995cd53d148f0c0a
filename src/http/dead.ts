/* Dead letters: looked at, replayed one by one or in bulk, dropped. Admin only. */
import type { Hono } from "hono";
import { z } from "zod";
import { address } from "../domain/event.ts";
import type { Message } from "../domain/lifecycle.ts";
import type { DeadLetters, DeadQuery, Messages } from "../stream/store.ts";
import { answer, PRIVATE } from "./answer.ts";
import { type Auth, requireAdmin } from "./auth.ts";
import { isTooDeep, MAX_DEPTH, MAX_ERRORS } from "./events.ts";
import { cursorParameter, limitParameter, noQuery, readInput, readQuery, textParameter } from "./input.ts";
import { idOf, replyOf } from "./messages.ts";
import { problem, refuse } from "./problem.ts";
import type { BulkReply, LetterReply } from "./schemas.ts";

const PAGE = 200;

const fingerprint = textParameter(64);

export const deadQuery = z.strictObject({
  fingerprint: fingerprint.exactOptional(),
  limit: limitParameter,
  cursor: cursorParameter,
});

export const editInput = z.strictObject({
  recipient: address.exactOptional(),
  data: z
    .record(z.string(), z.unknown())
    .refine((data) => !isTooDeep(data), `is nested more than ${MAX_DEPTH} levels deep`)
    .exactOptional()
    .meta({ description: "In the place of the event's `data`, whole." }),
});

export const bulkInput = z
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

export function deadRoutes(app: Hono, auth: Auth, dead: DeadLetters, messages: Messages): void {
  const admin = requireAdmin(auth);

  app.get("/v1/dead", admin, async (c) => {
    const query = readQuery(c, deadQuery);
    if (!query.ok) return refuse(query.problem);
    const [page, groups] = await Promise.all([dead.list(query.value), dead.groups()]);
    return answer({ items: page.items.map(letterOf), groups, cursor: page.cursor ?? null });
  });

  app.post("/v1/dead/replay", admin, noQuery, async (c) => {
    const input = await readInput(c, bulkInput);
    if (!input.ok) return refuse(input.problem);
    const { dryRun } = input.value;
    const ids = await match(input.value, dead, messages);
    const replayed = dryRun ? 0 : await replayAll(ids, dead);
    const reply: BulkReply = { dryRun, matched: ids.length, replayed, ids };
    return answer(reply, dryRun ? 200 : 202);
  });

  app.post("/v1/dead/:id/replay", admin, noQuery, async (c) => {
    const edit = await readInput(c, editInput);
    if (!edit.ok) return refuse(edit.problem);
    const id = idOf(c, "id");
    const result = id === undefined ? "not_found" : await dead.replay(id, edit.value);
    if (typeof result === "object") {
      return refuse(
        problem("invalid-event", "The event as edited is not valid.", result.problems.slice(0, MAX_ERRORS)),
      );
    }
    if (result !== "replayed") return missed(result);
    return answer({ id, result }, 202);
  });

  app.delete("/v1/dead/:id", admin, noQuery, async (c) => {
    const id = idOf(c, "id");
    const result = id === undefined ? "not_found" : await dead.drop(id);
    return result === "dropped" ? new Response(null, { status: 204, headers: PRIVATE }) : missed(result);
  });
}

function letterOf(message: Message): LetterReply {
  return { ...replyOf(message), ...(message.event && { event: message.event }) };
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
