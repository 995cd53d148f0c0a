/* What a process knows of the layout: read once a second, when Redis is back, and whenever it says that it has moved. */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { every, type Timer } from "../domain/time.ts";
import { RedisAway } from "./fault.ts";
import { type Layout, UNKNOWN } from "./layout.ts";
import { adoptLayout, readLayout, restoreLayout } from "./relayout.ts";
import { StrangeData } from "./usedPartitions.ts";

const POLL_MS = 1_000;

export interface WatchOptions {
  /** PARTITIONS, where somebody has set it: another number in Redis is refused. */
  wanted: number | undefined;
  /** Until Redis has answered, and for a Redis that has none. */
  assumed: number;
  /** Whether a Redis that has none is given this one. */
  adopts: boolean;
  /** It is another number, or nobody knows which. Called once, and then nothing more is read. */
  onRefused: (why: string) => void;
  log: Logger;
}

export class LayoutWatch {
  readonly #redis: Redis;
  readonly #options: WatchOptions;
  /** Written by refresh. Of an unknown version until Redis has answered: then it was compared with what is wanted. */
  #layout: Layout;
  #refreshing: Promise<void> | undefined;
  #failing = false;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(redis: Redis, options: WatchOptions) {
    this.#redis = redis;
    this.#options = options;
    this.#layout = { version: UNKNOWN, partitions: options.wanted ?? options.assumed, earlier: [] };
  }

  readonly now = (): Layout => this.#layout;

  /** Resolves when Redis was asked once. */
  async start(): Promise<void> {
    this.#timer = every(POLL_MS, () => void this.refresh());
    this.#redis.on("ready", this.#onReady);
    await this.refresh();
  }

  readonly #onReady = () => void this.refresh();

  /**
   * Never rejects. While Redis is away what is known stays.
   * @param moved a partition that has another layout
   */
  refresh(moved?: string): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    this.#refreshing ??= this.#read(moved).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#redis.off("ready", this.#onReady);
  }

  async #read(moved: string | undefined): Promise<void> {
    const { log } = this.#options;
    try {
      const found = await this.#find(moved);
      if (found === undefined || this.#stopped) return;
      this.#failing = false;
      const { version, partitions } = this.#layout;
      if (version === UNKNOWN && this.#isOther(found)) return;
      if (version !== UNKNOWN && found.partitions !== partitions)
        log.warn({ from: partitions, to: found.partitions }, "the number of partitions has changed");
      this.#layout = found;
    } catch (error) {
      if (error instanceof RedisAway || this.#stopped) return;
      if (error instanceof StrangeData && this.#layout.version === UNKNOWN) return this.#refuse(error.message);
      if (!this.#failing) log.error({ err: error }, "the number of partitions cannot be read");
      this.#failing = true;
    }
  }

  /** What Redis has; what this process knows, where Redis has lost it. */
  async #find(moved: string | undefined): Promise<Layout | undefined> {
    const known = this.#layout;
    if (known.version === UNKNOWN)
      return this.#options.adopts ? adoptLayout(this.#redis, known.partitions) : readLayout(this.#redis, moved);
    const found = await readLayout(this.#redis, moved);
    if (found !== undefined && !isBehind(found, known)) return found;
    const restored = await restoreLayout(this.#redis, known, found);
    this.#options.log.error(
      { partitions: restored.partitions, found: found?.partitions },
      "redis has lost the number of partitions, it is written again",
    );
    return restored;
  }

  #isOther({ partitions }: Layout): boolean {
    const { wanted } = this.#options;
    if (wanted === undefined || wanted === partitions) return false;
    this.#refuse(`Redis has ${partitions}: \`postpaid partitions ${wanted}\` changes it while it runs`);
    return true;
  }

  #refuse(why: string): void {
    this.stop();
    this.#options.onRefused(why);
  }
}

function isBehind(found: Layout, known: Layout): boolean {
  return found.version < known.version || (found.version === known.version && found.partitions !== known.partitions);
}
