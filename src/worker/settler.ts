/*
 * Settlements that arrive in one turn of the event loop travel as one script call for each way out.
 * While Redis is away they are kept and tried again, and the taker stops at twice the slots: no mail is begun
 * whose outcome could not be kept.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";
import type { Outbox } from "../journal/outbox.ts";
import { RedisAway, SlotMoves } from "../stream/fault.ts";
import { bury, cancel, defer, haveEndedIn, lose, postpone, release, sentOrAttested } from "../stream/settle.ts";
import type { Taken } from "../stream/take.ts";
import type { Settlement } from "./attempt.ts";

/** Settlements in one script call. */
const MAX_CALL = 100;
const FIRST_DELAY_MS = 25;
const MAX_DELAY_MS = 1_000;

export interface Settler {
  /** Tells when it is written: true, or false when the entry was no longer ours, or given up. */
  settle(taken: Taken, settlement: Settlement, done: (written: boolean) => void): void;
  /** Gives up what is not written yet: false. */
  abandon(): void;
}

type Kind = Settlement["kind"];
type Item<K extends Kind> = Taken & Extract<Settlement, { kind: K }> & { done: (written: boolean) => void };

/** What one call can settle. */
type Batch = { [K in Kind]: { kind: K; tag: string; items: Item<K>[] } }[Kind];

export interface SettlerOptions {
  redis: Redis;
  consumer: string;
  retentionMs: number;
  outbox: Outbox;
  log: Logger;
}

export function createSettler(options: SettlerOptions): Settler {
  const { log } = options;
  let waiting: Item<Kind>[] = [];
  let abandoned = false;
  /** Partitions that could not be written to, and have not been since. */
  const away = new Set<string>();

  function flush(): void {
    const batches = batchesOf(waiting);
    waiting = [];
    for (const batch of batches) void write(batch);
  }

  /** @param onTheWay called when it is written to the socket: that is settled also when we die then */
  async function settleAll(batch: Batch, onTheWay?: () => void): Promise<void> {
    const { items } = batch;
    let written: boolean[] | undefined;
    for (let failures = 0; written === undefined && !abandoned; failures++) {
      try {
        const settling = call(batch, options);
        if (failures === 0) onTheWay?.();
        written = await confirm(batch, await settling, options);
        if (away.delete(batch.tag)) log.warn({ tag: batch.tag }, "settlements are written again");
      } catch (error) {
        const isAway = error instanceof RedisAway;
        if (!isAway && items.length > 1) {
          // One of them is to blame: the others need not wait for it.
          await Promise.all(items.map((item) => settleAll({ ...batch, items: [item] } as Batch)));
          return;
        }
        // That its slot moves the taker says (rests.ts).
        if (isAway && !(error instanceof SlotMoves) && !away.has(batch.tag)) {
          log.error({ err: error, tag: batch.tag, waiting: items.length }, "settlements wait for redis");
          away.add(batch.tag);
        }
        if (!isAway && failures === 0) {
          const { messageId } = items[0] ?? {};
          log.error({ err: error, messageId }, "a settlement fails, it is tried again");
        }
        if (failures === 0) options.outbox.sync();
        await Bun.sleep(backoffMs(failures, FIRST_DELAY_MS, MAX_DELAY_MS));
      }
    }
    items.forEach(({ done }, i) => {
      done(written?.[i] ?? false);
    });
  }

  async function write(batch: Batch): Promise<void> {
    let recorded: number | undefined;
    await settleAll(batch, () => {
      if (batch.kind === "sent") recorded = options.outbox.record(batch.items);
    });
    if (recorded !== undefined && !abandoned) options.outbox.forget(recorded);
  }

  return {
    settle(taken, settlement, done) {
      if (waiting.length === 0) setImmediate(flush);
      waiting.push({ ...taken, ...settlement, done });
    },
    abandon() {
      abandoned = true;
    },
  };
}

function batchesOf(items: readonly Item<Kind>[]): Batch[] {
  const batches: Batch[] = [];
  for (const item of items) {
    const { kind, tag } = item;
    const batch = batches.find((one) => one.kind === kind && one.tag === tag && one.items.length < MAX_CALL);
    if (batch === undefined) batches.push({ kind, tag, items: [item] } as Batch);
    else (batch.items as Item<Kind>[]).push(item);
  }
  return batches;
}

async function call(batch: Batch, options: SettlerOptions): Promise<boolean[]> {
  const { redis, consumer, retentionMs } = options;
  switch (batch.kind) {
    case "sent":
      return sentOrAttested(redis, batch.tag, consumer, retentionMs, batch.items);
    case "deferred":
      return defer(redis, batch.tag, consumer, batch.items);
    case "unknown":
      return lose(redis, batch.tag, consumer, batch.items);
    case "postponed":
      return postpone(redis, batch.tag, consumer, batch.items);
    case "cancelled":
      return cancel(redis, batch.tag, consumer, retentionMs, batch.items);
    case "released":
      return release(redis, batch.tag, consumer, batch.items);
    case "dead":
      return bury(redis, batch.tag, consumer, batch.items);
  }
}

/**
 * A settlement whose reply was lost is sent again, by the client too, and finds itself no longer the owner: where
 * the attempt has ended as it says, it was written all the same.
 */
async function confirm(batch: Batch, written: boolean[], options: SettlerOptions): Promise<boolean[]> {
  const { kind, tag, items } = batch;
  if (!written.includes(false) || !(kind === "sent" || kind === "deferred" || kind === "unknown" || kind === "dead"))
    return written;
  const before = await haveEndedIn(options.redis, tag, kind, items);
  return written.map((one, i) => one || (before[i] ?? false));
}
