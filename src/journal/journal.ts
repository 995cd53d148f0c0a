/*
 * What Redis could not take yet: posts, commits and rollbacks, on the local disk, in the order they came.
 * SQLite with synchronous FULL: an entry is on the disk before its promise resolves, and a torn last write is
 * cut off when the file is opened. What arrives in one turn of the event loop shares one transaction, so one
 * sync. A file that is damaged, at the start or later, is kept beside, said in the log, and a new one begun; one that is
 * deleted while it is open is begun anew with all it held, before the next entry counts as written.
 * Fatal is a file that cannot be opened at the start for another reason. Later nothing is: what cannot be written is
 * refused to who brought it.
 */
import { join } from "node:path";
import type { Logger } from "pino";
import { time } from "../domain/time.ts";
import { isDamage } from "./database.ts";
import type { Entry, KeptEntry } from "./entry.ts";
import { Table } from "./table.ts";

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

/** Every write of a turn shares one transaction: `append` collects, `#flush` writes. */
export class Journal {
  readonly #table: Table;
  readonly #maxBytes: number;
  readonly #log: Logger;
  /** What the table holds. Written by all that write to it, and read anew with a new file. */
  #depth: number;
  #rejected: number;
  #bytes: number;
  /** Entries of the last turn found no room within the limit. Written by #flush and remove. */
  #full = false;
  /** The last write did. */
  #failed = false;
  /** For the transaction of this turn; the same by event. Written by append and #flush. */
  #waiting: Waiting[] = [];
  #waitingOf = new Map<string, Waiting[]>();
  /** Entries that were read from the file that is open: another one may use their positions again. */
  #read = new WeakSet<KeptEntry>();

  /** @param maxBytes of the entries' texts and overhead */
  constructor(directory: string, maxBytes: number, log: Logger) {
    this.#table = new Table(journalFile(directory), log);
    this.#maxBytes = maxBytes;
    this.#log = log;
    const sums = this.#table.sums(ENTRY_OVERHEAD_BYTES);
    this.#depth = sums.depth;
    this.#rejected = sums.rejected;
    this.#bytes = sums.bytes;
  }

  /** True when it is on the disk; false when there is no room, neither within the limit nor on the disk. */
  append(entry: Entry): Promise<boolean> {
    if (this.#waiting.length === 0) time.nextTurn(() => this.#flush());
    const { promise: written, resolve } = Promise.withResolvers<boolean>();
    const one = { entry, resolve, written };
    this.#waiting.push(one);
    const others = this.#waitingOf.get(entry.eventId);
    if (others === undefined) this.#waitingOf.set(entry.eventId, [one]);
    else others.push(one);
    return written;
  }

  /** What is kept or being written for an event, in the order it came. */
  find(eventId: string): Entry[] {
    const coming = (this.#waitingOf.get(eventId) ?? []).map(({ entry }) => entry);
    return this.#depth === 0 ? coming : [...this.#onTable((table) => table.ofEvent(eventId)), ...coming];
  }

  /** Of an entry that was found: true when it is on the disk, false when it could not be written. */
  written(entry: Entry): Promise<boolean> {
    const coming = this.#waitingOf.get(entry.eventId)?.find((one) => one.entry === entry);
    return coming?.written ?? Promise.resolve(true);
  }

  /** @param after the position to go on from */
  oldest(limit: number, after = 0): KeptEntry[] {
    const entries = this.#depth === 0 ? [] : this.#onTable((table) => table.oldest(limit, after));
    for (const entry of entries) this.#read.add(entry);
    return entries;
  }

  remove(entries: readonly KeptEntry[]): void {
    const ours = () => entries.filter((entry) => this.#read.has(entry)); // none, once the file is another
    this.#onTable((table) => table.remove(ours()));
    const removed = ours();
    this.#full = false;
    this.#failed = false;
    this.#depth -= removed.length;
    this.#bytes -= removed.reduce((sum, entry) => sum + sizeOf(entry), 0);
  }

  /** Puts an entry aside that can never be taken over; it stays in the file for a person. */
  reject(entry: KeptEntry): void {
    this.#onTable((table) => this.#read.has(entry) && table.reject(entry));
    if (!this.#read.has(entry)) return;
    this.#depth -= 1;
    this.#rejected += 1;
  }

  /** Whether it can take an entry, as far as is known. A write that failed is tried again, or who would be sent here? */
  hasRoom(): boolean {
    try {
      this.#table.keepInPlace();
      if (this.#failed && !this.#full) {
        this.#table.touch();
        this.#failed = false;
      }
    } catch (error) {
      if (!this.#failed) this.#log.error({ err: error }, "journal cannot be written");
      this.#failed = true;
    }
    return !this.#full && !this.#failed && this.#maxBytes > 0;
  }

  /** Entries that are kept, those put aside not counted. */
  depth(): number {
    return this.#depth;
  }

  stats(): JournalStats {
    const oldestAt = this.#depth === 0 ? undefined : this.#onTable((table) => table.oldest(1, 0))[0]?.at;
    return { depth: this.#depth, bytes: this.#bytes, rejected: this.#rejected, oldestAt };
  }

  close(): void {
    try {
      if (this.#depth > 0 || this.#rejected > 0) this.#table.keepInPlace();
    } catch (error) {
      this.#log.error({ err: error }, "journal cannot be kept, its file is gone");
    }
    this.#table.close();
  }

  /** A file that turns out damaged while it is open is put aside as at a start, and the work done on the new one. */
  #onTable<T>(work: (table: Table) => T): T {
    try {
      return work(this.#table);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#table.reopen();
      this.#read = new WeakSet();
      const { depth, rejected, bytes } = this.#table.sums(ENTRY_OVERHEAD_BYTES);
      [this.#depth, this.#rejected, this.#bytes] = [depth, rejected, bytes];
      return work(this.#table);
    }
  }

  #flush(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#waitingOf = new Map();
    let room = this.#maxBytes - this.#bytes;
    const fits = batch.map(({ entry }) => {
      const size = sizeOf(entry);
      if (size > room) return false;
      room -= size;
      return true;
    });
    this.#full = fits.includes(false);
    const written = this.#write(batch.filter((_, i) => fits[i]).map(({ entry }) => entry));
    batch.forEach(({ resolve }, i) => {
      resolve(written && fits[i] === true);
    });
  }

  #write(entries: readonly Entry[]): boolean {
    if (entries.length === 0) return true;
    try {
      this.#onTable((table) => {
        table.keepInPlace();
        table.add(entries);
      });
    } catch (error) {
      if (!this.#failed) this.#log.error({ err: error }, "journal cannot be written"); // the disk is full, or gone
      this.#failed = true;
      return false;
    }
    this.#failed = false;
    this.#depth += entries.length;
    this.#bytes += entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
    return true;
  }
}

function sizeOf(entry: Entry): number {
  return Buffer.byteLength(entry.eventId) + Buffer.byteLength(entry.json) + ENTRY_OVERHEAD_BYTES;
}
