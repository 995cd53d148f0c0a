/* The ways out of SENDING, each for many messages of one partition at once. */
import type { Redis } from "ioredis";
import type { State } from "../domain/lifecycle.ts";
import { fingerprint } from "../domain/outcome.ts";
import attestSource from "./attest.lua" with { type: "text" };
import burySource from "./bury.lua" with { type: "text" };
import cancelSource from "./cancel.lua" with { type: "text" };
import deferSource from "./defer.lua" with { type: "text" };
import { key } from "./keys.ts";
import loseSource from "./lose.lua" with { type: "text" };
import postponeSource from "./postpone.lua" with { type: "text" };
import releaseSource from "./release.lua" with { type: "text" };
import { booleansOf, script } from "./script.ts";
import sentSource from "./sent.lua" with { type: "text" };
import { type Claim, claimText } from "./take.ts";

const sentScript = script("sent", sentSource, "allow-oom");
const deferScript = script("defer", deferSource, "allow-oom");
const attestScript = script("attest", attestSource, "allow-oom");
const buryScript = script("bury", burySource, "allow-oom");
const loseScript = script("lose", loseSource, "allow-oom");
const postponeScript = script("postpone", postponeSource, "allow-oom");
const cancelScript = script("cancel", cancelSource, "allow-oom");
const releaseScript = script("release", releaseSource, "allow-oom");

/** For each claim, in order: was it still ours, so that the transition was written? */
export type Settled = boolean[];

export async function sent(
  redis: Redis,
  tag: string,
  consumer: string,
  retentionMs: number,
  items: readonly (Claim & { reply: string })[],
): Promise<Settled> {
  const args = items.flatMap((item) => [claimText(item), oneLine(item.reply)]);
  return booleansOf(await sentScript(redis, tag, [consumer, retentionMs, ...args]));
}

export async function defer(
  redis: Redis,
  tag: string,
  consumer: string,
  items: readonly (Claim & { delayMs: number; reason: string })[],
): Promise<Settled> {
  const args = items.flatMap((item) => [claimText(item), item.delayMs, oneLine(item.reason)]);
  return booleansOf(await deferScript(redis, tag, [consumer, ...args]));
}

export async function bury(
  redis: Redis,
  tag: string,
  consumer: string,
  items: readonly (Claim & { how?: "untried" | "unknown"; reason: string })[],
): Promise<Settled> {
  const args = items.flatMap((item) => [
    claimText(item),
    fingerprint(item.reason),
    oneLine(item.reason),
    item.how ?? "tried",
  ]);
  return booleansOf(await buryScript(redis, tag, [consumer, ...args]));
}

/** `resendDelayMs` undefined holds the message for a person. */
export async function lose(
  redis: Redis,
  tag: string,
  consumer: string,
  items: readonly (Claim & { resendDelayMs: number | undefined; reason: string })[],
): Promise<Settled> {
  const args = items.flatMap((item) => [
    claimText(item),
    item.resendDelayMs ?? -1,
    fingerprint(item.reason),
    oneLine(item.reason),
  ]);
  return booleansOf(await loseScript(redis, tag, [consumer, ...args]));
}

/** Gives back what was taken and not tried. */
export async function release(
  redis: Redis,
  tag: string,
  consumer: string,
  items: readonly (Claim & { reason: string })[],
): Promise<Settled> {
  const args = items.flatMap((item) => [claimText(item), oneLine(item.reason)]);
  return booleansOf(await releaseScript(redis, tag, [consumer, ...args]));
}

/** The booking is not paid yet, or nobody can say: again after `delayMs`. `counts`: the store gave an answer. */
export async function postpone(
  redis: Redis,
  tag: string,
  consumer: string,
  items: readonly (Claim & { delayMs: number; counts: boolean; reason: string })[],
): Promise<Settled> {
  const args = items.flatMap((item) => [claimText(item), item.delayMs, item.counts ? 1 : 0, oneLine(item.reason)]);
  return booleansOf(await postponeScript(redis, tag, [consumer, ...args]));
}

/** The booking does not stand. */
export async function cancel(
  redis: Redis,
  tag: string,
  consumer: string,
  retentionMs: number,
  items: readonly (Claim & { reason: string })[],
): Promise<Settled> {
  const args = items.flatMap((item) => [claimText(item), oneLine(item.reason)]);
  return booleansOf(await cancelScript(redis, tag, [consumer, retentionMs, ...args]));
}

/** The relay took this attempt, which the message has lost meanwhile. False: another one is under way, or ended it. */
export async function attest(
  redis: Redis,
  tag: string,
  messageId: string,
  attempt: number,
  reply: string,
  retentionMs: number,
): Promise<boolean> {
  return (await attestScript(redis, tag, [messageId, attempt, oneLine(reply), retentionMs])) === 1;
}

/** As `sent`; and what was lost to another worker meanwhile, and has not been begun again there, need not be. */
export async function sentOrAttested(
  redis: Redis,
  tag: string,
  consumer: string,
  retentionMs: number,
  items: readonly (Claim & { reply: string })[],
): Promise<Settled> {
  const written = await sent(redis, tag, consumer, retentionMs, items);
  return Promise.all(
    items.map(
      ({ messageId, attempt, reply }, i) => written[i] || attest(redis, tag, messageId, attempt, reply, retentionMs),
    ),
  );
}

/** For each claim, whether its attempt has ended in `state`: so does a settlement whose reply was lost leave it. */
export async function haveEndedIn(
  redis: Redis,
  tag: string,
  state: State,
  items: readonly Claim[],
): Promise<boolean[]> {
  const rows = await Promise.all(items.map(({ messageId }) => redis.hmget(key.message(tag, messageId), "s", "n")));
  return items.map(({ attempt }, i) => rows[i]?.[0] === state && Number(rows[i]?.[1]) === attempt);
}

/** The timeline is kept one line a transition. */
function oneLine(text: string): string {
  return text
    .replace(/\s{2,}|[^\S ]/g, " ")
    .trim()
    .slice(0, 500);
}
