/* The ways out of SENDING, each for many messages of one partition at once. */
import type { Redis } from "ioredis";
import type { State } from "../domain/lifecycle.ts";
import { fingerprint, type Settlement } from "../domain/outcome.ts";
import cancelledSource from "./cancelled.lua" with { type: "text" };
import confirmSentSource from "./confirmSent.lua" with { type: "text" };
import deadSource from "./dead.lua" with { type: "text" };
import deferredSource from "./deferred.lua" with { type: "text" };
import { key } from "./keys.ts";
import postponedSource from "./postponed.lua" with { type: "text" };
import { reading } from "./record.ts";
import releasedSource from "./released.lua" with { type: "text" };
import { booleansOf, script } from "./script.ts";
import sentSource from "./sent.lua" with { type: "text" };
import { type Claim, claimText } from "./take.ts";
import unknownSource from "./unknown.lua" with { type: "text" };

export type Way = Settlement["kind"];

type Without<Field extends string, S> = S extends unknown ? Omit<S, Field> : never;

/** A claim, and what its settlement says beside its kind. */
export type Item<W extends Way> = Claim & Without<"kind", Extract<Settlement, { kind: W }>>;

interface WayOut<W extends Way> {
  run: ReturnType<typeof script>;
  /** Where it leads, unless the message was rolled back meanwhile. */
  state: State;
  /** Whether state and attempt show afterwards that this settlement was written, although its reply was lost. */
  confirmable: boolean;
  /** The script's arguments for a message, behind its claim: the reason first, as settle_each has them. */
  args: (item: Item<W>) => (string | number)[];
}

const wayOut = <W extends Way>(
  name: W,
  source: string,
  state: State,
  confirmable: boolean,
  args: WayOut<W>["args"],
): WayOut<W> => ({ run: script(name, source, "allow-oom"), state, confirmable, args });

/** The one list of them: the kind of a settlement is the name of its script, and the word in the log. */
export const WAYS_OUT: { readonly [W in Way]: WayOut<W> } = {
  sent: wayOut("sent", sentSource, "sent", true, ({ reply }) => [oneLine(reply)]),
  deferred: wayOut("deferred", deferredSource, "deferred", true, ({ reason, delayMs }) => [oneLine(reason), delayMs]),
  dead: wayOut("dead", deadSource, "dead", true, ({ reason, how }) => [
    oneLine(reason),
    fingerprint(reason),
    how ?? "tried",
  ]),
  unknown: wayOut("unknown", unknownSource, "unknown", true, ({ reason, resendDelayMs }) => [
    oneLine(reason),
    resendDelayMs ?? -1,
    fingerprint(reason),
  ]),
  released: wayOut("released", releasedSource, "queued", false, ({ reason }) => [oneLine(reason)]),
  postponed: wayOut("postponed", postponedSource, "scheduled", false, ({ reason, delayMs, counts }) => [
    oneLine(reason),
    delayMs,
    counts ? 1 : 0,
  ]),
  cancelled: wayOut("cancelled", cancelledSource, "cancelled", false, ({ reason }) => [oneLine(reason)]),
};

const confirmSentScript = script("confirmSent", confirmSentSource, "allow-oom");

/** A worker in a partition: whose messages are settled. */
export interface Owner {
  redis: Redis;
  tag: string;
  consumer: string;
  /** How long a message is kept that is sent or cancelled. */
  retentionMs: number;
}

/** For each claim, in order: was it still ours, so that the transition was written? */
export async function settle<W extends Way>(owner: Owner, way: W, items: readonly Item<W>[]): Promise<boolean[]> {
  const { redis, tag, consumer, retentionMs } = owner;
  const { run, args } = WAYS_OUT[way];
  const perItem = items.flatMap((item) => [claimText(item), ...args(item)]);
  return booleansOf(await run(redis, tag, [consumer, retentionMs, ...perItem]));
}

/** As `settle`. A claim that we no longer own is confirmed as sent if no other attempt has started since. */
export async function settleSent(owner: Owner, items: readonly Item<"sent">[]): Promise<boolean[]> {
  const written = await settle(owner, "sent", items);
  return Promise.all(items.map((item, i) => written[i] || confirmSent(owner, item)));
}

/**
 * As `settle`, or for `sent` as `settleSent`. A settlement whose reply was lost is sent again, by the client too, and
 * finds itself no longer the owner: where the attempt has ended as it says, it was written all the same.
 */
export async function settleOrConfirm<W extends Way>(
  owner: Owner,
  way: W,
  items: readonly Item<W>[],
): Promise<boolean[]> {
  const isSent = way === "sent";
  const written = await (isSent ? settleSent(owner, items as readonly Item<"sent">[]) : settle(owner, way, items));
  if (!WAYS_OUT[way].confirmable || !written.includes(false)) return written;
  const before = await haveEndedIn(owner, WAYS_OUT[way].state, items);
  return written.map((one, i) => one || (before[i] ?? false));
}

/** A late 250: the message has lost this attempt meanwhile. False: another one is under way, or ended it. */
export async function confirmSent(
  { redis, tag, retentionMs }: Owner,
  { messageId, attempt, reply }: Item<"sent">,
): Promise<boolean> {
  return (await confirmSentScript(redis, tag, [messageId, attempt, oneLine(reply), retentionMs])) === 1;
}

/** For each claim, whether its attempt has ended in `state`. */
export async function haveEndedIn(
  { redis, tag }: Pick<Owner, "redis" | "tag">,
  state: State,
  claims: readonly Claim[],
): Promise<boolean[]> {
  const rows = await reading(() =>
    Promise.all(claims.map(({ messageId }) => redis.hmget(key.message(tag, messageId), "s", "n"))),
  );
  return claims.map(({ attempt }, i) => rows[i]?.[0] === state && Number(rows[i]?.[1]) === attempt);
}

/** The timeline has one line for each transition. */
function oneLine(text: string): string {
  return text
    .replace(/\s{2,}|[^\S ]/g, " ")
    .trim()
    .slice(0, 500);
}
