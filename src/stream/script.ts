/*
 * How a Lua file becomes a typed function: its prelude, its registration, its call, its faults.
 *
 * Each call declares the gate of its partition: two keys of the partition's slot, of which one never exists. While a
 * cluster moves the slot, the node that gives it away answers ASK or TRYAGAIN to a key that it has not, and the one that
 * takes it in TRYAGAIN to several keys of which it lacks one (cluster.c, getNodeByQuery). So no script starts on either
 * side before the slot has arrived whole. The keys that a script touches could not do that: most are found while it
 * runs, and one that has moved away fails it in its middle.
 */
import type { Redis } from "ioredis";
import { within } from "../domain/time.ts";
import { awayOf, NO_ANSWER } from "./fault.ts";
import { gateOf, LUA_NAMES } from "./keys.ts";
import { nodesOf } from "./nodes.ts";
import prelude from "./prelude.lua" with { type: "text" };

/** Redis's clock, epoch ms. */
const CLOCK = `local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end`;

type Flag = "allow-oom" | "no-writes";

interface Script {
  name: string;
  body: string;
  flag: Flag | undefined;
}

const scripts: Script[] = [];

/** For a cluster's node that may have gone silent. */
const PATIENCE_MS = 1_000;

/** Connections that are being closed, which may take a while. */
const closing = new WeakSet<Redis>();

type Argument = string | number;

/**
 * Declares a script. What adds work has no flag: a full Redis then refuses it before it wrote
 * anything. What settles or frees work may run on a full Redis, or it could never drain.
 */
export function script(name: string, body: string, flag?: Flag) {
  scripts.push({ name: `pp_${name}`, body, flag });
  return (redis: Redis, tag: string, args: readonly Argument[]): Promise<unknown> => {
    const commands = redis as unknown as Record<string, (...args: Argument[]) => Promise<unknown>>;
    return orAway(redis, () => commands[`pp_${name}`]?.(...gateOf(tag), ...args), tag);
  };
}

/** Runs a command that may not wait for ever; a Redis that is away becomes RedisAway. */
export async function orAway<T>(redis: Redis, command: () => T, tag?: string): Promise<Awaited<T>> {
  try {
    return await command();
  } catch (error) {
    const away = awayOf(error, tag);
    if (away === undefined) throw error;
    if (away.message === NO_ANSWER) closeOnce(redis);
    throw away;
  }
}

/**
 * From scripts that are called for each message a list comes back as one string, since the client decodes each element
 * of an array byte by byte.
 */
export function linesOf(reply: unknown): string[] {
  return reply === "" ? [] : (reply as string).split("\n");
}

export function booleansOf(reply: unknown): boolean[] {
  return reply === "" ? [] : (reply as string).split(" ").map((one) => one === "1");
}

/**
 * A connection that is open at this end only stays so until somebody closes it; all calls that wait on it say so.
 * While it is reconnecting, closing it would park it for ever. Of a cluster's only those are closed that do not answer.
 */
function closeOnce(redis: Redis): void {
  const nodes = nodesOf(redis, "all");
  if (nodes !== undefined) {
    for (const node of nodes) void closeUnlessItAnswers(node);
    return;
  }
  if (redis.status !== "ready" || closing.has(redis)) return;
  closing.add(redis);
  redis.once("close", () => closing.delete(redis));
  redis.disconnect(true);
}

async function closeUnlessItAnswers(node: Redis): Promise<void> {
  if (node.status !== "ready" || closing.has(node)) return;
  closing.add(node);
  const answer = node.ping().then(
    () => true,
    () => true, // it is closed
  );
  if (!(await within(PATIENCE_MS, answer))) node.disconnect(true);
  closing.delete(node);
}

/** Makes all scripts callable on a connection. Tests pass a clock of their own. */
export function defineScripts(redis: Redis, clock: string = CLOCK): void {
  for (const { name, body, flag } of scripts) {
    redis.defineCommand(name, {
      numberOfKeys: 2,
      lua: `#!lua${flag === undefined ? "" : ` flags=${flag}`}\n${LUA_NAMES}\n${clock}\n${prelude}\n${body}`,
    });
  }
}
