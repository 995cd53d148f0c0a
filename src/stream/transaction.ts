/* The producer's own transaction decides about its event: commit, rollback, and what nobody decided in time. */
import type { Redis } from "ioredis";
import type { Committed, RolledBack } from "../domain/ingress.ts";
import type { State } from "../domain/lifecycle.ts";
import amendSource from "./amend.lua" with { type: "text" };
import checkSource from "./check.lua" with { type: "text" };
import commitSource from "./commit.lua" with { type: "text" };
import { key } from "./keys.ts";
import { reading } from "./record.ts";
import rollbackSource from "./rollback.lua" with { type: "text" };
import { script } from "./script.ts";
import type { Claim } from "./take.ts";
import undecidedSource from "./undecided.lua" with { type: "text" };

const commitScript = script("commit", commitSource, "allow-oom");
const rollbackScript = script("rollback", rollbackSource, "allow-oom");
const amendScript = script("amend", amendSource);
const checkScript = script("check", checkSource, "allow-oom");
const undecidedScript = script("undecided", undecidedSource, "allow-oom");

/** The answer to a producer, and whether this call changed the message's state: one that is repeated does not. */
export interface Decided<Answer> {
  answer: Answer;
  changed: boolean;
}

/** The partition has another layout than the caller (layout.ts): nothing was decided. */
export class Moved extends Error {
  override name = "Moved";
}

/**
 * HELD -> SCHEDULED | QUEUED.
 * @param messageId the one that the event gives
 * @param version of the layout that says it is there; 0 where the message was found there
 * @throws RedisAway, Moved
 */
export async function commit(
  redis: Redis,
  tag: string,
  messageId: string,
  reason = "committed",
  version = 0,
): Promise<Decided<Committed>> {
  const reply = (await commitScript(redis, tag, [messageId, reason, version])) as [
    string,
    string,
    State,
    string | number,
    number,
  ];
  const [word, id, state, dueAt, changed] = reply;
  if (word === "moved") throw new Moved();
  if (word === "not_found") return { answer: { kind: "not_found" }, changed: false };
  if (word === "cancelled") return { answer: { kind: "cancelled", messageId: id }, changed: false };
  return { answer: { kind: "committed", messageId: id, state, dueAt: Number(dueAt) }, changed: changed === 1 };
}

/** Anything but SENDING and SENT -> CANCELLED. Parameters and errors as of `commit`. */
export async function rollback(
  redis: Redis,
  tag: string,
  messageId: string,
  retentionMs: number,
  reason = "rolled back",
  version = 0,
): Promise<Decided<RolledBack>> {
  const reply = await rollbackScript(redis, tag, [messageId, retentionMs, reason, version]);
  const [kind, id, state, changed] = reply as ["cancelled" | "in_flight" | "too_late" | "moved", string, State, number];
  if (kind === "moved") throw new Moved();
  return { answer: { kind, messageId: id, state }, changed: changed === 1 };
}

/** What has become of an event that more is known of than when it was posted. */
export type Amended =
  | { kind: "not_found" }
  /** `known`: it is as it was: an attempt has begun, or it is no event that it may take the place of. */
  | { kind: "amended" | "known"; messageId: string; state: State; dueAt: number };

/** SCHEDULED | QUEUED -> the same, with another event. @param args of amend.lua, from the third on. Throws RedisAway, Moved. */
export async function amend(
  redis: Redis,
  tag: string,
  messageId: string,
  version: number,
  args: readonly string[],
): Promise<Decided<Amended>> {
  const reply = await amendScript(redis, tag, [messageId, version, ...args]);
  const [kind, id, state, dueAt] = reply as [Amended["kind"] | "moved", string, State, string | number];
  if (kind === "moved") throw new Moved();
  if (kind === "not_found") return { answer: { kind }, changed: false };
  return { answer: { kind, messageId: id, state, dueAt: Number(dueAt) }, changed: kind === "amended" };
}

/** Whether it was rolled back since it was taken. @throws RedisAway */
export async function wasRolledBack(redis: Redis, { tag, messageId }: Claim): Promise<boolean> {
  return (await reading(() => redis.hexists(key.message(tag, messageId), "k"))) === 1;
}

/** A held message whose check-back is due. */
export interface Undecided {
  messageId: string;
  eventId: string;
  /** How often its booking store was asked, with this time. */
  asked: number;
  /** The event, JSON. */
  json: string;
}

/** HELD -> HELD: hands out what is due for a check-back, and sets the next one. */
export async function check(
  redis: Redis,
  tag: string,
  limit: number,
  delaysMs: readonly number[],
): Promise<{ undecided: Undecided[]; nextMs: number | undefined }> {
  const [nextMs, ...rest] = (await checkScript(redis, tag, [limit, ...delaysMs])) as [number, ...(string | number)[]];
  const undecided: Undecided[] = [];
  for (let i = 0; i < rest.length; i += 4) {
    const [messageId, eventId, asked, json] = rest.slice(i, i + 4).map(String) as [string, string, string, string];
    undecided.push({ messageId, eventId, asked: Number(asked), json });
  }
  return { undecided, nextMs: nextMs < 0 ? undefined : nextMs };
}

/** HELD -> HELD: the check-back brought no decision. `forPerson`: it was the last one. False: decided meanwhile. */
export async function leaveUndecided(
  redis: Redis,
  tag: string,
  { messageId, asked }: Undecided,
  forPerson: boolean,
): Promise<boolean> {
  return (await undecidedScript(redis, tag, [messageId, asked, forPerson ? 1 : 0])) === 1;
}
