/* What a process knows of the layout: read once a second, and whenever Redis says that it has moved. */
import type { Redis } from "ioredis";
import type { Logger } from "pino";
import { RedisAway } from "./fault.ts";
import type { Layout } from "./layout.ts";
import { adoptLayout } from "./relayout.ts";

const POLL_MS = 1_000;

export interface WatchOptions {
  /** PARTITIONS, where somebody has set it: another number in Redis is refused. */
  wanted: number | undefined;
  /** Until Redis has answered, and for a Redis that has none. */
  assumed: number;
  /** It is another number, or nobody knows which. Called once, and then nothing more is read. */
  onRefused: (why: string) => void;
  log: Logger;
}

export class LayoutWatch {
  readonly #redis: Redis;
  readonly #options: WatchOptions;
  /** Written by refresh. Version 0 until Redis has answered. */
  #layout: Layout;
  /** It was compared with what is wanted: later changes are meant. */
  #isChecked = false;
  #refreshing: Promise<void> | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(redis: Redis, options: WatchOptions) {
    this.#redis = redis;
    this.#options = options;
    this.#layout = { version: 0, partitions: options.wanted ?? options.assumed, earlier: [] };
  }

  readonly now = (): Layout => this.#layout;

  /** Resolves when Redis was asked once. */
  async start(): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => void this.refresh(), POLL_MS);
  }

  /** Never rejects. While Redis is away what is known stays. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#read().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #read(): Promise<void> {
    const { wanted, log, onRefused } = this.#options;
    try {
      const found = await adoptLayout(this.#redis, this.#layout.partitions);
      if (this.#stopped) return;
      if (!this.#isChecked && wanted !== undefined && wanted !== found.partitions) {
        return this.#refuse(
          `Redis has ${found.partitions}: \`postpaid partitions ${wanted}\` changes it while it runs`,
        );
      }
      const { version, partitions } = this.#layout;
      if (this.#isChecked && found.version < version) {
        log.error(
          { partitions, found: found.partitions },
          "redis has lost the number of partitions, or came back older",
        );
      } else if (this.#isChecked && found.version > version) {
        log.warn({ from: partitions, to: found.partitions }, "the number of partitions has changed");
      }
      this.#isChecked = true;
      this.#layout = found;
    } catch (error) {
      if (error instanceof RedisAway) return;
      if (!this.#stopped) this.#refuse((error as Error).message, onRefused);
    }
  }

  #refuse(why: string, onRefused = this.#options.onRefused): void {
    this.stop();
    onRefused(why);
  }
}
