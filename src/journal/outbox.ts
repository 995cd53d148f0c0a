/*
 * What the relay has taken and Redis has not been told yet. The fact is written to a local file while the first
 * settlement is on its way, so a worker that is killed before Redis has it knows after its restart, and does not
 * send again. Written survives kill -9; it is synced, to survive a power loss too, when that settlement has failed.
 * The file only grows, a line for each batch and one that names the settled ones, until it is big, or somebody has
 * deleted it, and it is begun anew with what is not settled. A fact that is settled twice meets the fence of its script
 * and does no harm.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { time } from "../domain/time.ts";
import { fileAt } from "./place.ts";

interface SentFact {
  tag: string;
  rank: string;
  entryId: string;
  messageId: string;
  attempt: number;
  /** What the relay said. */
  reply: string;
}

export interface Batch {
  id: number;
  facts: SentFact[];
}

export interface Outbox {
  /** Returns when they are written. A disk that cannot take them is logged, and the mail is settled all the same. */
  record(facts: readonly SentFact[]): number;
  /** Returns when all that was recorded is on the disk. */
  sync(): void;
  /** All of it was settled. */
  forget(id: number): void;
  /** What an earlier life of this worker left. */
  left(): Batch[];
  close(): void;
}

const CANNOT_BEGIN = "outbox cannot be begun: what a kill -9 interrupts may be sent twice";

/** @param maxBytes of the file, before it is begun anew */
export function openOutbox(directory: string, log: Logger, maxBytes = 1024 * 1024): Outbox {
  const path = join(directory, "outbox.jsonl");
  const keptAs = `${path}.unreadable-${time.epochMs()}`;
  /** By id, as lines. */
  const batches = new Map<number, string>();
  let settled: number[] = [];
  let lastId = 0;
  let fd: number | undefined;
  let file: string | undefined;
  let bytes = 0;
  let closed = false;

  /** What has failed and not worked since: said once, however many mails there are. */
  const failing = new Set<string>();

  /** Whether it worked. */
  function orLog(what: string, work: () => void): boolean {
    try {
      work();
      failing.delete(what);
      return true;
    } catch (error) {
      if (!failing.has(what)) log.error({ err: error }, what);
      failing.add(what);
      return false;
    }
  }

  /** On a line of its own, behind one that a full disk or a power loss has cut short. */
  function append(text: string): void {
    if (fd === undefined) return;
    const line = `\n${text}`;
    const length = Buffer.byteLength(line);
    bytes += length;
    if (writeSync(fd, line) < length) throw new Error("the disk took a part of it only");
  }

  /** With what is not settled. Either the old file stands and is written on, or the new one. */
  function begin(): void {
    bytes = 0;
    writeFileSync(`${path}.new`, [...batches.values()].map((line) => `\n${line}`).join(""), { flush: true });
    const next = openSync(`${path}.new`, "a");
    try {
      renameSync(`${path}.new`, path);
    } catch (error) {
      closeSync(next);
      throw error;
    }
    if (fd !== undefined) closeSync(fd);
    fd = next;
    file = fileAt(path);
    settled = [];
  }

  /**
   * Whether it had to be begun, and was. Deleted or replaced, it is written on by us, and read by nobody after a
   * restart. Where it could not be begun at the start, a full disk may have room since.
   */
  function beginIfGone(): boolean {
    let begun = false;
    orLog(CANNOT_BEGIN, () => {
      if (closed || (fd !== undefined && fileAt(path) === file)) return;
      const wasOpen = fd !== undefined;
      begin();
      begun = true;
      if (wasOpen) log.error({ path }, "outbox was deleted or replaced, it is begun anew");
      else log.warn({ path }, "outbox can be written again");
    });
    return begun;
  }

  function recover(): void {
    if (!existsSync(path)) return;
    let unreadable = 0;
    for (const line of readFileSync(path, "utf8").split("\n")) {
      const parsed = line === "" ? [] : parse(line);
      if (parsed === undefined) unreadable += 1;
      else if (Array.isArray(parsed)) for (const id of parsed) batches.delete(id);
      else batches.set(parsed.id, line);
    }
    lastId = Math.max(0, ...batches.keys());
    if (unreadable === 0) return;
    copyFileSync(path, keptAs);
    log.error({ lines: unreadable, keptAs }, "outbox has lines that cannot be read, they are left out");
  }

  if (!orLog("outbox cannot be read: what a kill -9 interrupted may be sent twice", recover))
    orLog("outbox cannot be put aside", () => renameSync(path, keptAs));
  orLog(CANNOT_BEGIN, begin);

  return {
    record(facts) {
      const id = ++lastId;
      const line = JSON.stringify({ id, facts: facts.map(factOf) });
      batches.set(id, line);
      if (beginIfGone()) return id;
      if (bytes > maxBytes && orLog("outbox cannot be begun anew", begin)) return id;
      orLog("outbox cannot be written", () => {
        append(settled.length === 0 ? line : `${JSON.stringify(settled)}\n${line}`);
        settled = [];
      });
      return id;
    },
    sync() {
      if (!beginIfGone()) orLog("outbox cannot be synced", () => fd !== undefined && fdatasyncSync(fd));
    },
    forget(id) {
      if (batches.delete(id)) settled.push(id);
    },
    left: () => [...batches.values()].map((line) => parse(line) as Batch),
    close() {
      orLog("outbox cannot be written", () => settled.length > 0 && append(JSON.stringify(settled)));
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
      closed = true;
    },
  };
}

/** Its own fields alone, whatever else the object has. */
function factOf({ tag, rank, entryId, messageId, attempt, reply }: SentFact): SentFact {
  return { tag, rank, entryId, messageId, attempt, reply };
}

/** A batch, or the ids of those that were settled; undefined for what is neither. */
function parse(line: string): Batch | number[] | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (Array.isArray(value)) return value as number[];
    return Array.isArray((value as Batch | null)?.facts) ? (value as Batch) : undefined;
  } catch {
    return undefined;
  }
}
