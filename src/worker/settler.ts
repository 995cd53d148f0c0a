/*
 * Settlements that arrive in one turn of the event loop travel as one script call for each way out.
 * While Redis is away they wait here and are tried again. The taker stops at twice the slots: no mail starts whose
 * outcome could not wait here.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { backoffMs } from "../domain/backoff.ts";
import type { Settlement } from "../domain/outcome.ts";
import { sleep, time } from "../domain/time.ts";
import type { Outbox } from "../journal/outbox.ts";
import { RedisAway, SlotMoves } from "../stream/fault.ts";
import { settleOrConfirm, type Way } from "../stream/settle.ts";
import type { Taken } from "../stream/take.ts";

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

type Item<W extends Way> = Taken & Extract<Settlement, { kind: W }> & { done: (written: boolean) => void };

/** Settlements of one call. */
type SettlementBatch = { [W in Way]: { kind: W; tag: string; items: Item<W>[] } }[Way];

export interface SettlerOptions {
  redis: Redis;
  consumer: string;
  retentionMs: number;
  outbox: Outbox;
  log: Logger;
}

export function createSettler(options: SettlerOptions): Settler {
  const { log } = options;
  let waiting: Item<Way>[] = [];
  let abandoned = false;
  /** Partitions that could not be written to, and have not been since. */
  const away = new Set<string>();

  function flush(): void {
    const batches = batchesOf(waiting);
    waiting = [];
    for (const batch of batches) void write(batch);
  }

  /** @param onTheWay called when it is written to the socket: that is settled also when we die then */
  async function settleAll(batch: SettlementBatch, onTheWay?: () => void): Promise<void> {
    const { items } = batch;
    let written: boolean[] | undefined;
    for (let failures = 0; written === undefined && !abandoned; failures++) {
      try {
        const settling = settleOrConfirm({ ...options, tag: batch.tag }, batch.kind, items);
        if (failures === 0) onTheWay?.();
        written = await settling;
        if (away.delete(batch.tag)) log.warn({ tag: batch.tag }, "settlements are written again");
      } catch (error) {
        const isAway = error instanceof RedisAway;
        if (!isAway && items.length > 1) {
          // One of them is to blame: the others need not wait for it.
          await Promise.all(items.map((item) => settleAll({ ...batch, items: [item] } as SettlementBatch)));
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
        await sleep(backoffMs(failures, FIRST_DELAY_MS, MAX_DELAY_MS));
      }
    }
    items.forEach(({ done }, i) => {
      done(written?.[i] ?? false);
    });
  }

  async function write(batch: SettlementBatch): Promise<void> {
    let recorded: number | undefined;
    await settleAll(batch, () => {
      if (batch.kind === "sent") recorded = options.outbox.record(batch.items);
    });
    if (recorded !== undefined && !abandoned) options.outbox.forget(recorded);
  }

  return {
    settle(taken, settlement, done) {
      if (waiting.length === 0) time.nextTurn(flush);
      waiting.push({ ...taken, ...settlement, done });
    },
    abandon() {
      abandoned = true;
    },
  };
}

function batchesOf(items: readonly Item<Way>[]): SettlementBatch[] {
  const batches: SettlementBatch[] = [];
  for (const item of items) {
    const { kind, tag } = item;
    const batch = batches.find((one) => one.kind === kind && one.tag === tag && one.items.length < MAX_CALL);
    if (batch === undefined) batches.push({ kind, tag, items: [item] } as SettlementBatch);
    else (batch.items as Item<Way>[]).push(item);
  }
  return batches;
}
