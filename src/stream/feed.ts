/*
 * Following the transitions as they happen. Each follower has a blocking connection for each partition, which on
 * a cluster could not be read together.
 */
import type { Redis } from "ioredis";
import { every, sleep } from "../domain/time.ts";
import { BLOCK_MS } from "./connect.ts";
import { awayOf, SlotMoves } from "./fault.ts";
import { key } from "./keys.ts";
import { type Partitions, tagsServedBy } from "./layout.ts";
import { stepOf } from "./record.ts";
import type { Feed, Transition } from "./store.ts";

const PAGE = 500;
const RETRY_MS = 100;
/** From the entries on that come next; never part of a position that is given out. */
const NOW = "$";
const BEGIN = "0-0";
const GROWTH_POLL_MS = 1_000;
const POSITION = /^(\d{1,16})-(\d{1,16})(?:\.(\d{1,5}))?$/;

/**
 * A position has for each partition, joined by commas, the id of an entry that is done with, or `<id>.<n>`: of this
 * entry the first n transitions are. Who follows from now on sees nothing before every partition's last entry is
 * known, so that every position can be gone on from.
 */
export function createFeed(openBlocking: () => Redis, partitions: Partitions): Feed {
  return {
    follow(since, on, began = () => {}) {
      const positions = positionsOf(since);
      const begin = Promise.withResolvers<void>();
      const beginIfKnown = () => {
        if (positions.includes(NOW)) return;
        began(positions.join(","));
        begin.resolve();
      };
      const readers: (() => void)[] = [];
      const readMore = () => {
        for (const tag of tagsServedBy(partitions).slice(readers.length)) readers.push(read(tag, readers.length));
      };
      const read = (tag: string, partition: number) => {
        positions[partition] ??= BEGIN; // it came when the number of partitions grew
        return startReader(openBlocking(), key.feed(tag), positions[partition], {
          began(position) {
            positions[partition] = position;
            beginIfKnown();
            return begin.promise;
          },
          on(position, transition) {
            positions[partition] = position;
            on({ id: positions.join(","), ...transition });
          },
        });
      };
      readMore();
      const timer = every(GROWTH_POLL_MS, readMore);
      beginIfKnown();
      return () => {
        timer.cancel();
        for (const stop of readers) stop();
      };
    },
  };

  function positionsOf(since: string | undefined): string[] {
    const tags = tagsServedBy(partitions);
    const given = since?.split(",") ?? [];
    const isOurs = given.length > 0 && given.length <= tags.length && given.every((id) => POSITION.test(id));
    return isOurs ? given : tags.map(() => NOW);
  }
}

interface Reading {
  /** Called with where it begins, once that is known; it reads when this resolves. */
  began(position: string): Promise<void>;
  on(position: string, transition: Omit<Transition, "id">): void;
}

/** Goes on from where it was whatever happens to Redis, until the returned function is called. */
function startReader(redis: Redis, stream: string, since: string, reading: Reading): () => void {
  redis.on("error", () => {}); // it connects again; the follower sees nothing meanwhile
  const [, ms, seq, done] = POSITION.exec(since) ?? [];
  const whole = done === undefined;
  let after = whole ? since : before(ms ?? "0", seq ?? "0");
  let skipped = Number(done ?? 0);
  let stopped = false;

  async function read(): Promise<void> {
    if (after === NOW) {
      after = (await redis.xrevrange(stream, "+", "-", "COUNT", 1))[0]?.[0] ?? "0-0";
      await reading.began(after);
    }
    const reply = await redis.xread("COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS", stream, after);
    for (const [entryId, fields] of reply?.[0]?.[1] ?? []) {
      const transitions = transitionsOf(entryId, fields);
      const begin = !whole && entryId === `${ms}-${seq}` ? skipped : 0;
      for (let i = begin; i < transitions.length; i++) {
        const position = i + 1 === transitions.length ? entryId : `${entryId}.${i + 1}`;
        reading.on(position, transitions[i] as Omit<Transition, "id">);
      }
      after = entryId;
      skipped = 0;
    }
  }

  void (async () => {
    while (!stopped) {
      try {
        await read();
      } catch (error) {
        // A socket that is open at this end only is closed; while it is reconnecting, it is left alone.
        const isWell = awayOf(error) instanceof SlotMoves;
        if (!stopped && !isWell && redis.status === "ready") redis.disconnect(true);
        if (!stopped) await sleep(RETRY_MS);
      }
    }
  })();
  return () => {
    stopped = true;
    redis.disconnect();
  };
}

/** The largest entry id below this one. */
function before(ms: string, seq: string): string {
  if (seq !== "0") return `${ms}-${BigInt(seq) - 1n}`;
  return ms === "0" ? "0-0" : `${BigInt(ms) - 1n}-18446744073709551615`;
}

/** The transitions of an entry of the feed, in their order. */
export function transitionsOf(entryId: string, fields: readonly string[]): Omit<Transition, "id">[] {
  const at = Number(entryId.split("-")[0]);
  return (fields[1] ?? "")
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const [messageId = "", ...step] = line.split("|");
      return { at, messageId, ...stepOf(step) };
    });
}
