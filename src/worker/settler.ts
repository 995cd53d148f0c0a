/*
 * Settlements that arrive in one turn of the event loop travel as one script call for each way out.
 * While Redis is away they are kept and tried again, and the taker stops at twice the slots: no mail is begun
 * whose outcome could not be kept.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Outbox } from "../journal/outbox.ts";
import { RedisAway } from "../stream/fault.ts";
import {
  bury,
  cancel,
  countAlike,
  defer,
  haveEndedIn,
  lose,
  postpone,
  release,
  sentOrAttested,
} from "../stream/settle.ts";
import type { Taken } from "../stream/take.ts";
import type { Settlement } from "./attempt.ts";

const MAX_CALL = 100;
const FIRST_DELAY_MS = 25;
const MAX_DELAY_MS = 1_000;

export interface Settler {
  /** Resolves when it is written: true, or false when the entry was no longer ours, or given up. */
  settle(taken: Taken, settlement: Settlement): Promise<boolean>;
  /** Gives up what is not written yet; those promises resolve to false. */
  abandon(): void;
}

interface Item {
  taken: Taken;
  settlement: Settlement;
  resolve: (written: boolean) => void;
}

export interface SettlerOptions {
  redis: Redis;
  consumer: string;
  retentionMs: number;
  outbox: Outbox;
  log: Logger;
  /** The first dead letter with its fingerprint. */
  onFirstOfItsKind: (taken: Taken, reason: string) => void;
}

export function createSettler(options: SettlerOptions): Settler {
  const { log } = options;
  let items: Item[] = [];
  let abandoned = false;
  let away = false;

  function flush(): void {
    const groups = Map.groupBy(items, ({ taken, settlement }) => `${taken.tag} ${settlement.kind}`);
    items = [];
    for (const members of groups.values()) {
      for (let i = 0; i < members.length; i += MAX_CALL) void write(members.slice(i, i + MAX_CALL));
    }
  }

  /** @param onTheWay called when it is written to the socket: that is settled also when we die then */
  async function settleAll(batch: Item[], onTheWay?: () => void): Promise<void> {
    for (let failures = 0; !abandoned; failures++) {
      try {
        const settling = call(batch, options);
        if (failures === 0) onTheWay?.();
        const written = await confirm(batch, await settling, options);
        if (away) log.warn("settlements are written again");
        away = false;
        batch.forEach((item, i) => {
          item.resolve(written[i] ?? false);
        });
        return;
      } catch (error) {
        const isAway = error instanceof RedisAway;
        if (!isAway && batch.length > 1) {
          // One of them is to blame: the others need not wait for it.
          await Promise.all(batch.map((item) => settleAll([item])));
          return;
        }
        if (isAway && !away) log.error({ err: error, waiting: batch.length }, "settlements wait for redis");
        if (!isAway && failures === 0) {
          const { messageId } = batch[0]?.taken ?? {};
          log.error({ err: error, messageId }, "a settlement fails, it is tried again");
        }
        if (failures === 0) options.outbox.sync();
        away ||= isAway;
        await Bun.sleep(Math.min(FIRST_DELAY_MS * 2 ** failures, MAX_DELAY_MS));
      }
    }
    for (const item of batch) item.resolve(false);
  }

  async function write(batch: Item[]): Promise<void> {
    const facts = claims(batch, "sent");
    let recorded: number | undefined;
    await settleAll(batch, () => {
      if (facts.length > 0) recorded = options.outbox.record(facts);
    });
    if (recorded !== undefined && !abandoned) options.outbox.forget(recorded);
  }

  return {
    settle: (taken, settlement) =>
      new Promise((resolve) => {
        if (items.length === 0) setImmediate(flush);
        items.push({ taken, settlement, resolve });
      }),
    abandon() {
      abandoned = true;
    },
  };
}

/** All items have the same tag and the same kind. */
async function call(batch: Item[], options: SettlerOptions): Promise<boolean[]> {
  const { redis, consumer } = options;
  const first = batch[0];
  if (first === undefined) return [];
  const { tag } = first.taken;
  switch (first.settlement.kind) {
    case "sent":
      return sentOrAttested(redis, tag, consumer, options.retentionMs, claims(batch, "sent"));
    case "deferred":
      return defer(redis, tag, consumer, claims(batch, "deferred"));
    case "unknown":
      return lose(redis, tag, consumer, claims(batch, "unknown"));
    case "postponed":
      return postpone(redis, tag, consumer, claims(batch, "postponed"));
    case "cancelled":
      return cancel(redis, tag, consumer, options.retentionMs, claims(batch, "cancelled"));
    case "released":
      return release(redis, tag, consumer, claims(batch, "released"));
    case "dead": {
      const letters = claims(batch, "dead");
      const alike = await bury(redis, tag, consumer, letters);
      letters.forEach((letter, i) => {
        if (alike[i] === 1) options.onFirstOfItsKind(letter, letter.reason);
      });
      return alike.map((count) => count !== 0);
    }
  }
}

/**
 * A settlement whose reply was lost is sent again, by the client too, and finds itself no longer the owner: where
 * the attempt has ended as it says, it was written all the same.
 */
async function confirm(batch: Item[], written: boolean[], options: SettlerOptions): Promise<boolean[]> {
  const kind = batch[0]?.settlement.kind;
  if (!written.includes(false) || !(kind === "sent" || kind === "deferred" || kind === "unknown" || kind === "dead"))
    return written;
  const { redis } = options;
  const items = claims(batch, kind);
  const tag = items[0]?.tag ?? "";
  const before = await haveEndedIn(redis, tag, kind, items);
  for (const [i, item] of items.entries()) {
    if (written[i] || !before[i] || item.kind !== "dead") continue;
    if ((await countAlike(redis, tag, item.reason)) === 1) options.onFirstOfItsKind(item, item.reason);
  }
  return written.map((one, i) => one || (before[i] ?? false));
}

function claims<K extends Settlement["kind"]>(batch: Item[], kind: K) {
  return batch.flatMap(({ taken, settlement }) =>
    settlement.kind === kind ? [{ ...taken, ...(settlement as Extract<Settlement, { kind: K }>) }] : [],
  );
}
