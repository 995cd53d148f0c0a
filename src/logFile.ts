/*
 * Where the log's lines go: what comes in one turn of the event loop is one write, and the event loop waits for none.
 * Handing a write to a thread costs ten times the write, so a pipe or a terminal is written at once where it has room.
 */
import { constants, fstatSync, openSync, write, writeSync } from "node:fs";
import type { DestinationStream } from "pino";

/** The worker writes to the same pipe, and up to PIPE_BUF bytes go into it in one piece (pipe(7)). */
const MAX_WRITE_BYTES = 4_096;
/** Into a file all of a write goes in one piece. */
const MAX_FILE_WRITE_BYTES = 65_536;
/** What waits for a reader that is slow; the lines beyond are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024;
/** After EAGAIN: a pipe that does not block, and is full. */
const RETRY_MS = 50;
/** A write that takes longer is one to a pipe that nobody reads. */
const STUCK_MS = 1_000;

export interface LogFile extends DestinationStream {
  /** Resolves when all is written, or after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>;
  /** Before the process ends, or the last lines are lost. Neither throws nor waits for long. */
  flushSync(): void;
}

interface Chunk {
  buffer: Buffer;
  /** Of it that are written on. */
  bytes: number;
  lines: number;
}

const NEWLINE = Buffer.from("\n");

/**
 * A descriptor that does not block, for a pipe, a terminal or another device; undefined for what has none. A file has
 * none: it makes its writer wait when its disk is busy. It is opened anew through /proc (proc(5)), since O_NONBLOCK on
 * the one that was inherited would be set for all who share it.
 */
function openNonBlocking(fd: number): number | undefined {
  try {
    const kind = fstatSync(fd);
    if (!kind.isFIFO() && !kind.isCharacterDevice()) return undefined;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined; // no /proc, not our pipe, or nobody reads it
  }
}

/**
 * A file or descriptor for the log. The log is never a reason to stop: a line that cannot be written (a full disk) is
 * dropped and counted, and the first write that succeeds again is followed by a line that says how many are lost.
 * When the reader is gone (EPIPE), nothing is written any more.
 */
export function openDestination(dest: number | string): LogFile {
  const fd = typeof dest === "number" ? dest : openSync(dest, "a");
  const nonBlocking = openNonBlocking(fd);
  const maxWriteBytes = fstatSync(fd).isFile() ? MAX_FILE_WRITE_BYTES : MAX_WRITE_BYTES;
  const waiting: Chunk[] = [];
  /** Of a chunk that has been written. */
  let spare: Buffer | undefined;
  const whenIdle: (() => void)[] = [];
  let waitingBytes = 0;
  let writingSince: number | undefined;
  /** What is to be written before anything else: a chunk that was taken in part, or not at that moment. */
  let rest: { chunk: Chunk; data: Buffer } | undefined;
  let scheduled = false;
  let torn = false;
  let lost = 0;
  let closed = false;

  /** The last one that waits, where it has room for so many bytes, else a new one. */
  function chunkFor(bytes: number): Chunk {
    const last = waiting.at(-1);
    if (last !== undefined && last.bytes + bytes <= last.buffer.length) return last;
    let buffer = bytes > maxWriteBytes ? undefined : spare;
    if (buffer !== undefined) spare = undefined;
    buffer ??= Buffer.allocUnsafeSlow(Math.max(bytes, maxWriteBytes));
    const chunk = { buffer, bytes: 0, lines: 0 };
    waiting.push(chunk);
    return chunk;
  }

  function next(): { chunk: Chunk; data: Buffer } | undefined {
    if (closed) return undefined;
    if (rest !== undefined) {
      const again = rest;
      rest = undefined;
      return again;
    }
    const chunk = waiting.shift();
    if (chunk === undefined) return undefined;
    waitingBytes -= chunk.bytes;
    // The line that a failure cut short is ended, so that the next one can be read.
    const data = chunk.buffer.subarray(0, chunk.bytes);
    return { chunk, data: torn ? Buffer.concat([NEWLINE, data]) : data };
  }

  /** False: not now, try again later. */
  function settle(chunk: Chunk, data: Buffer, error: NodeJS.ErrnoException | null, written: number): boolean {
    if (error?.code === "EAGAIN" || error?.code === "EBUSY") {
      rest = { chunk, data };
      return false;
    }
    if (error) {
      lost += chunk.lines;
      closed ||= error.code === "EPIPE";
      if (closed) waiting.length = 0;
      return true;
    }
    torn = written < data.length;
    if (torn) {
      rest = { chunk, data: data.subarray(written) };
      return true;
    }
    if (chunk.buffer.length === maxWriteBytes) spare = chunk.buffer;
    if (lost > 0) {
      const text = `${JSON.stringify({ level: 50, time: Date.now(), lost, msg: "log lines were lost" })}\n`;
      // Lost as well, it would be counted among them.
      const buffer = Buffer.from(text);
      waiting.unshift({ buffer, bytes: buffer.length, lines: lost });
      waitingBytes += buffer.length;
      lost = 0;
    }
    return true;
  }

  /** False: it has to wait for room. */
  function writeNow(to: number, chunk: Chunk, data: Buffer): boolean {
    try {
      return settle(chunk, data, null, writeSync(to, data));
    } catch (error) {
      return settle(chunk, data, error as NodeJS.ErrnoException, 0);
    }
  }

  function pump(): void {
    scheduled = false;
    if (writingSince !== undefined) return;
    for (let one = next(); one !== undefined; one = next()) {
      if (nonBlocking !== undefined && writeNow(nonBlocking, one.chunk, one.data)) continue;
      rest = undefined; // a thread waits for room in its place
      writeInBackground(one.chunk, one.data);
      return;
    }
    for (const resolve of whenIdle.splice(0)) resolve();
  }

  function writeInBackground(chunk: Chunk, data: Buffer): void {
    writingSince = performance.now();
    write(fd, data, 0, data.length, null, (error, written) => {
      writingSince = undefined;
      if (settle(chunk, data, error, written)) pump();
      else schedule(RETRY_MS);
    });
  }

  function schedule(delayMs?: number): void {
    if (scheduled || writingSince !== undefined) return;
    scheduled = true;
    if (delayMs === undefined) setImmediate(pump);
    else setTimeout(pump, delayMs);
  }

  return {
    write(line) {
      if (closed) return;
      const bytes = Buffer.byteLength(line);
      if (waitingBytes + bytes > MAX_WAITING_BYTES) lost += 1;
      else {
        const chunk = chunkFor(bytes);
        chunk.bytes += chunk.buffer.write(line, chunk.bytes);
        chunk.lines += 1;
        waitingBytes += bytes;
      }
      schedule();
    },
    drain(deadlineMs) {
      if (closed || (waiting.length === 0 && rest === undefined && writingSince === undefined))
        return Promise.resolve();
      return new Promise((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        whenIdle.push(() => {
          clearTimeout(timer);
          resolve();
        });
        schedule();
      });
    },
    flushSync() {
      const startedAt = performance.now();
      // It would wait behind the one that is stuck.
      if (writingSince !== undefined && startedAt - writingSince > STUCK_MS) return;
      for (let one = next(); one !== undefined; one = next()) {
        if (writeNow(nonBlocking ?? fd, one.chunk, one.data)) continue;
        if (performance.now() - startedAt > STUCK_MS) return;
        Bun.sleepSync(RETRY_MS);
      }
    },
  };
}
