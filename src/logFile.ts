/*
 * Where the log's lines go: what comes in one turn of the event loop is one write, and the event loop waits for none.
 * Handing a write to a thread costs ten times the write, so a pipe or a terminal is written at once where it has room.
 */
import { constants, fstatSync, openSync, write, writeSync } from "node:fs";
import type { DestinationStream } from "pino";
import { time } from "./domain/time.ts";

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

interface Chunk {
  buffer: Buffer;
  /** Of it that are written on. */
  bytes: number;
  lines: number;
}

/** A chunk, and what of it is to be written. */
interface Piece {
  chunk: Chunk;
  data: Buffer;
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
export class LogFile implements DestinationStream {
  readonly #fd: number;
  readonly #nonBlocking: number | undefined;
  readonly #maxWriteBytes: number;
  /** Written by write and #next. */
  readonly #waiting: Chunk[] = [];
  #waitingBytes = 0;
  /** Of a chunk that has been written. */
  #spare: Buffer | undefined;
  /** What goes before anything else: a chunk that was written in part, or not at that moment. Written by #wrote. */
  #rest: Piece | undefined;
  /** time.monotonicMs() of a write that a thread does; written by #writeInBackground. */
  #writingSince: number | undefined;
  #scheduled = false;
  /** The last line was cut short. */
  #torn = false;
  #lost = 0;
  #closed = false;
  readonly #whenIdle: (() => void)[] = [];

  constructor(dest: number | string) {
    this.#fd = typeof dest === "number" ? dest : openSync(dest, "a");
    this.#nonBlocking = openNonBlocking(this.#fd);
    this.#maxWriteBytes = fstatSync(this.#fd).isFile() ? MAX_FILE_WRITE_BYTES : MAX_WRITE_BYTES;
  }

  write(line: string): void {
    if (this.#closed) return;
    const bytes = Buffer.byteLength(line);
    if (this.#waitingBytes + bytes > MAX_WAITING_BYTES) this.#lost += 1;
    else {
      const chunk = this.#chunkFor(bytes);
      chunk.bytes += chunk.buffer.write(line, chunk.bytes);
      chunk.lines += 1;
      this.#waitingBytes += bytes;
    }
    this.#schedule();
  }

  /** Resolves when all is written, or after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void> {
    const isIdle = this.#waiting.length === 0 && this.#rest === undefined && this.#writingSince === undefined;
    if (this.#closed || isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = time.after(deadlineMs, resolve);
      this.#whenIdle.push(() => {
        timer.cancel();
        resolve();
      });
      this.#schedule();
    });
  }

  /** Before the process ends, or the last lines are lost. Neither throws nor waits for long. */
  flushSync(): void {
    const startedAt = time.monotonicMs();
    // It would wait behind the one that is stuck.
    if (this.#writingSince !== undefined && startedAt - this.#writingSince > STUCK_MS) return;
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) {
      if (this.#writeNow(this.#nonBlocking ?? this.#fd, piece)) continue;
      if (time.monotonicMs() - startedAt > STUCK_MS) return;
      time.blockThread(RETRY_MS);
    }
  }

  #schedule(delayMs?: number): void {
    if (this.#scheduled || this.#writingSince !== undefined) return;
    this.#scheduled = true;
    if (delayMs === undefined) time.nextTurn(() => this.#pump());
    else time.after(delayMs, () => this.#pump());
  }

  #pump(): void {
    this.#scheduled = false;
    if (this.#writingSince !== undefined) return;
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) {
      if (this.#nonBlocking !== undefined && this.#writeNow(this.#nonBlocking, piece)) continue;
      this.#rest = undefined; // a thread waits for room in its place
      this.#writeInBackground(piece);
      return;
    }
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** The last one that waits, where it has room for so many bytes, else a new one. */
  #chunkFor(bytes: number): Chunk {
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.bytes + bytes <= last.buffer.length) return last;
    let buffer = bytes > this.#maxWriteBytes ? undefined : this.#spare;
    if (buffer !== undefined) this.#spare = undefined;
    buffer ??= Buffer.allocUnsafeSlow(Math.max(bytes, this.#maxWriteBytes));
    const chunk = { buffer, bytes: 0, lines: 0 };
    this.#waiting.push(chunk);
    return chunk;
  }

  #next(): Piece | undefined {
    if (this.#closed) return undefined;
    if (this.#rest !== undefined) {
      const again = this.#rest;
      this.#rest = undefined;
      return again;
    }
    const chunk = this.#waiting.shift();
    if (chunk === undefined) return undefined;
    this.#waitingBytes -= chunk.bytes;
    // The line that a failure cut short is ended, so that the next one can be read.
    const data = chunk.buffer.subarray(0, chunk.bytes);
    return { chunk, data: this.#torn ? Buffer.concat([NEWLINE, data]) : data };
  }

  /** False: it has to wait for room. */
  #writeNow(to: number, piece: Piece): boolean {
    try {
      return this.#wrote(piece, null, writeSync(to, piece.data));
    } catch (error) {
      return this.#wrote(piece, error as NodeJS.ErrnoException, 0);
    }
  }

  #writeInBackground(piece: Piece): void {
    this.#writingSince = time.monotonicMs();
    write(this.#fd, piece.data, 0, piece.data.length, null, (error, written) => {
      this.#writingSince = undefined;
      if (this.#wrote(piece, error, written)) this.#pump();
      else this.#schedule(RETRY_MS);
    });
  }

  /** What a write came to. False: not now, try again later. */
  #wrote({ chunk, data }: Piece, error: NodeJS.ErrnoException | null, written: number): boolean {
    if (error?.code === "EAGAIN" || error?.code === "EBUSY") {
      this.#rest = { chunk, data };
      return false;
    }
    if (error) {
      this.#lost += chunk.lines;
      this.#closed ||= error.code === "EPIPE";
      if (this.#closed) this.#waiting.length = 0;
      return true;
    }
    this.#torn = written < data.length;
    if (this.#torn) this.#rest = { chunk, data: data.subarray(written) };
    else {
      if (chunk.buffer.length === this.#maxWriteBytes) this.#spare = chunk.buffer;
      if (this.#lost > 0) this.#tellOfLost();
    }
    return true;
  }

  #tellOfLost(): void {
    const text = `${JSON.stringify({ level: 50, time: time.epochMs(), lost: this.#lost, msg: "log lines were lost" })}\n`;
    const buffer = Buffer.from(text);
    // Lost as well, it is counted with those that it tells of.
    this.#waiting.unshift({ buffer, bytes: buffer.length, lines: this.#lost });
    this.#waitingBytes += buffer.length;
    this.#lost = 0;
  }
}
