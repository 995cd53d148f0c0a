/*
 * The partitions that a worker serves: it listens to each, and keeps it from when it has entered it. They come and go
 * while it runs (stream/relayout.ts): one that is new is entered as it comes; one that takes no new events is served until
 * it is forgotten (stream/forget.ts), and then nothing is left in it.
 */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { type Partitions, tagsServedBy } from "../stream/layout.ts";
import { type Loop, startLoop } from "./loop.ts";
import { startWaker } from "./waker.ts";

const POLL_MS = 500;

/** As long as a timer can be. */
const NEVER_MS = 2_147_483_647;

export interface ServingOptions {
  partitions: Partitions;
  /** Those that are there at the start. */
  tags: readonly string[];
  /** Of them, those that it has entered already. The taker reads it; written here. */
  entered: string[];
  /** @throws RedisAway: try again */
  enter: (tag: string) => Promise<void>;
  /** What runs in a partition from when it is entered. */
  keep: (tag: string, log: Logger) => Loop[];
  openBlocking: () => Redis;
  readsPartitionsTogether: boolean;
  /** There may be something to take. */
  wake: () => void;
  stopping: AbortSignal;
  log: Logger;
}

interface Ear {
  tags: readonly string[];
  connection: Redis;
  waker: Loop;
}

export interface Serving {
  /** Hears of nothing any more. */
  quiet(): Promise<void>;
  stop(): Promise<void>;
}

export function serve(options: ServingOptions): Serving {
  const { tags, entered, enter, keep, wake, log } = options;
  /** What runs in each. */
  const loops = new Map<string, Loop[]>();
  const ears = new Set<Ear>();
  const logOf = (tag: string) => (tags.length === 1 && tags[0] === tag ? log : log.child({ tag }));

  let isQuiet = false;

  function listen(together: readonly string[]): void {
    if (isQuiet) return;
    const connection = options.openBlocking();
    ears.add({ tags: together, connection, waker: startWaker(connection, together, wake, log) });
  }

  /** A cluster's shard that is away when a worker starts does not keep it from the others. */
  function enterLater(tag: string): Loop {
    const step = async () => {
      if (entered.includes(tag)) return NEVER_MS;
      await enter(tag);
      const own = loops.get(tag);
      if (options.stopping.aborted || own === undefined) return NEVER_MS;
      entered.push(tag);
      own.push(...keep(tag, logOf(tag)));
      wake();
      return NEVER_MS;
    };
    return startLoop("entry", logOf(tag), step, () => false); // nobody else says why nothing is taken there
  }

  async function leave(tag: string): Promise<void> {
    const own = loops.get(tag) ?? [];
    loops.delete(tag);
    if (entered.includes(tag)) entered.splice(entered.indexOf(tag), 1);
    for (const ear of ears) if (ear.tags.length === 1 && ear.tags[0] === tag) void deafen(ear);
    await Promise.all(own.map((loop) => loop.stop()));
    log.info({ tag }, "the partition is served no more");
  }

  async function deafen(ear: Ear): Promise<void> {
    ears.delete(ear);
    ear.connection.disconnect();
    await ear.waker.stop();
  }

  for (const together of options.readsPartitionsTogether ? [tags] : tags.map((tag) => [tag])) listen(together);
  for (const tag of tags) loops.set(tag, entered.includes(tag) ? keep(tag, logOf(tag)) : [enterLater(tag)]);
  const changes = startLoop("partitions", log, async () => {
    const now = tagsServedBy(options.partitions);
    for (const tag of now) {
      if (loops.has(tag)) continue;
      loops.set(tag, [enterLater(tag)]);
      listen([tag]);
    }
    for (const tag of [...loops.keys()]) if (!now.includes(tag)) await leave(tag);
    return POLL_MS;
  });

  return {
    async quiet() {
      isQuiet = true;
      await Promise.all([...ears].map(deafen));
    },
    async stop() {
      await Promise.all([changes, ...[...loops.values()].flat()].map((loop) => loop.stop()));
    },
  };
}
