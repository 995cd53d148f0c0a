/*
 * Kinds of dead letters that nobody was told of: each is reported once, whichever partition it is in and whichever
 * worker finds it, however the message came to its end. One that is gone altogether is new when it comes again.
 */
import type { Redis } from "ioredis";
import type { Message } from "../domain/lifecycle.ts";
import { createDeadLetters } from "./dead.ts";
import { key, tagOf } from "./keys.ts";
import type { Partitions } from "./layout.ts";
import { script } from "./script.ts";
import type { DeadLetters, DeadQuery } from "./store.ts";
import tellSource from "./tell.lua" with { type: "text" };

const tellScript = script("tell", tellSource, "allow-oom");

export interface NewKind {
  messageId: string;
  /** "" when the stored event cannot be read. */
  eventId: string;
  fingerprint: string;
  /** The relay's reply, or what took its place. */
  reason: string;
}

/** @param tell called for each kind; a crash just before it is the only thing that keeps it from being told */
export async function tellNewKinds(redis: Redis, partitions: Partitions, tell: (kind: NewKind) => void): Promise<void> {
  const dead = createDeadLetters(redis, partitions, 0);
  // Told first: whatever another worker tells of meanwhile is not taken for gone.
  const told = new Set(await redis.hkeys(key.deadTold(tagOf(0))));
  for (const { fingerprint } of await dead.groups()) {
    if (told.delete(fingerprint)) continue;
    const letter = await newestOf(dead, fingerprint);
    if (letter === undefined || (await tellScript(redis, tagOf(0), [fingerprint])) !== 1) continue;
    tell({ messageId: letter.id, eventId: letter.eventId, fingerprint, reason: letter.death?.reason ?? "" });
  }
  if (told.size > 0) await redis.hdel(key.deadTold(tagOf(0)), ...told);
}

/** Undefined: it was replayed or dropped meanwhile. */
async function newestOf(dead: DeadLetters, fingerprint: string): Promise<Message | undefined> {
  for (let query: DeadQuery | undefined = { fingerprint, limit: 1 }; query !== undefined; ) {
    const { items, cursor }: Awaited<ReturnType<DeadLetters["list"]>> = await dead.list(query);
    if (items[0] !== undefined) return items[0];
    query = cursor === undefined ? undefined : { fingerprint, limit: 1, cursor };
  }
  return undefined;
}
