/*
 * What Redis could not take yet: posts, commits and rollbacks, on the local disk, in the order they came.
 * SQLite with synchronous FULL: an entry is on the disk before its promise resolves, and a torn last write is
 * cut off when the file is opened. What arrives in one turn of the event loop shares one transaction, so one
 * sync. A file that is damaged, at the start or later, is kept beside, said in the log, and a new one begun; one that is
 * deleted while it is open is begun anew with all it held, before the next entry counts as written.
 */
import { join } from "node:path";
import type { Logger } from "pino";
import { isDamage } from "./database.ts";
import { openTable } from "./table.ts";

export interface Entry {
  kind: "post" | "commit" | "rollback";
  eventId: string;
  /** Of a post; else "". */
  bodyHash: string;
  /** The event of a post, JSON; else "". */
  json: string;
  /** Epoch ms. */
  at: number;
}

export interface KeptEntry extends Entry {
  /** Position: larger came later. */
  seq: number;
}

export interface Journal {
  /** True when it is on the disk; false when there is no room, neither within the limit nor on the disk. */
  append(entry: Entry): Promise<boolean>;
  /** What is kept or being written for an event, in the order it came. */
  find(eventId: string): Entry[];
  /** Of an entry that was found: true when it is on the disk, false when it could not be written. */
  written(entry: Entry): Promise<boolean>;
  /** @param after the position to go on from */
  oldest(limit: number, after?: number): KeptEntry[];
  remove(entries: readonly KeptEntry[]): void;
  /** Puts an entry aside that can never be taken over; it stays in the file for a person. */
  reject(entry: KeptEntry): void;
  /** Whether it can take an entry, as far as is known. A write that failed is tried again, or who would be sent here? */
  hasRoom(): boolean;
  /** Entries that are kept, those put aside not counted. */
  depth(): number;
  stats(): JournalStats;
  close(): void;
}

export interface JournalStats {
  depth: number;
  bytes: number;
  /** Epoch ms; undefined when it is empty. */
  oldestAt: number | undefined;
  /** Entries put aside. */
  rejected: number;
}

/** For the transaction of this turn. */
interface Waiting {
  entry: Entry;
  resolve: (written: boolean) => void;
  written: Promise<boolean>;
}

/** What SQLite needs for an entry beside its texts, about. */
const ENTRY_OVERHEAD_BYTES = 100;

export function journalFile(directory: string): string {
  return join(directory, "journal.sqlite");
}

/** @param maxBytes of the entries' texts and overhead */
export function openJournal(directory: string, maxBytes: number, log: Logger): Journal {
  const table = openTable(journalFile(directory), log);
  let { depth, rejected, bytes } = table.sums(ENTRY_OVERHEAD_BYTES);
  let full = false;
  /** The last write did. */
  let failed = false;
  let waiting: Waiting[] = [];
  /** The same, by event. */
  let waitingOf = new Map<string, Waiting[]>();
  /** Entries that were read from the file that is open: another one may use their positions again. */
  let read = new WeakSet<KeptEntry>();

  function onTable<T>(use: () => T): T {
    try {
      return use();
    } catch (error) {
      if (!isDamage(error)) throw error;
      table.reopen();
      read = new WeakSet();
      ({ depth, rejected, bytes } = table.sums(ENTRY_OVERHEAD_BYTES));
      return use();
    }
  }

  function flush(): void {
    const batch = waiting;
    waiting = [];
    waitingOf = new Map();
    let room = maxBytes - bytes;
    const fits = batch.map(({ entry }) => {
      const size = sizeOf(entry);
      if (size > room) return false;
      room -= size;
      return true;
    });
    full = fits.includes(false);
    const written = write(batch.filter((_, i) => fits[i]).map(({ entry }) => entry));
    batch.forEach(({ resolve }, i) => {
      resolve(written && fits[i] === true);
    });
  }

  function write(entries: readonly Entry[]): boolean {
    if (entries.length === 0) return true;
    try {
      onTable(() => {
        table.keepInPlace();
        table.add(entries);
      });
    } catch (error) {
      if (!failed) log.error({ err: error }, "journal cannot be written"); // the disk is full, or gone
      failed = true;
      return false;
    }
    failed = false;
    depth += entries.length;
    bytes += entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
    return true;
  }

  return {
    append(entry) {
      if (waiting.length === 0) setImmediate(flush);
      const { promise: written, resolve } = Promise.withResolvers<boolean>();
      const one = { entry, resolve, written };
      waiting.push(one);
      const others = waitingOf.get(entry.eventId);
      if (others === undefined) waitingOf.set(entry.eventId, [one]);
      else others.push(one);
      return written;
    },
    find(eventId) {
      const coming = (waitingOf.get(eventId) ?? []).map(({ entry }) => entry);
      return depth === 0 ? coming : [...onTable(() => table.ofEvent(eventId)), ...coming];
    },
    written: (entry) =>
      waitingOf.get(entry.eventId)?.find((one) => one.entry === entry)?.written ?? Promise.resolve(true),
    oldest(limit, after = 0) {
      const entries = depth === 0 ? [] : onTable(() => table.oldest(limit, after));
      for (const entry of entries) read.add(entry);
      return entries;
    },
    remove(entries) {
      const ours = () => entries.filter((entry) => read.has(entry)); // none, once the file is another
      onTable(() => table.remove(ours()));
      const removed = ours();
      full = false;
      failed = false;
      depth -= removed.length;
      bytes -= removed.reduce((sum, entry) => sum + sizeOf(entry), 0);
    },
    reject(entry) {
      onTable(() => read.has(entry) && table.reject(entry));
      if (!read.has(entry)) return;
      depth -= 1;
      rejected += 1;
    },
    hasRoom() {
      try {
        table.keepInPlace();
        if (failed && !full) {
          table.touch();
          failed = false;
        }
      } catch (error) {
        if (!failed) log.error({ err: error }, "journal cannot be written");
        failed = true;
      }
      return !full && !failed && maxBytes > 0;
    },
    depth: () => depth,
    stats: () => ({
      depth,
      bytes,
      rejected,
      oldestAt: depth === 0 ? undefined : onTable(() => table.oldest(1, 0))[0]?.at,
    }),
    close() {
      try {
        if (depth > 0 || rejected > 0) table.keepInPlace();
      } catch (error) {
        log.error({ err: error }, "journal cannot be kept, its file is gone");
      }
      table.close();
    },
  };
}

function sizeOf(entry: Entry): number {
  return Buffer.byteLength(entry.eventId) + Buffer.byteLength(entry.json) + ENTRY_OVERHEAD_BYTES;
}
