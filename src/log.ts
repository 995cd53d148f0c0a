/* JSON lines on stdout. No transports: they are worker threads that hang at exit. */
import { openSync, write, writeSync } from "node:fs";
import pino, { type DestinationStream, type Logger } from "pino";

export interface LogOptions {
  level: string;
  /** Addresses and names as they are, instead of masked. */
  plain: boolean;
  destination: DestinationStream;
}

/** The worker writes to the same pipe, and up to PIPE_BUF bytes go into it in one piece (pipe(7)). */
const MAX_WRITE_BYTES = 4_096;
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
  text: string;
  bytes: number;
  lines: number;
}

/**
 * A file or descriptor for the log, written in the background: what comes in one turn of the event loop is one
 * write. The log is never a reason to stop: a line that cannot be written (a full disk) is dropped and counted,
 * and the first write that succeeds again is followed by a line that says how many are lost. When the reader
 * is gone (EPIPE), nothing is written any more.
 */
export function openDestination(dest: number | string): LogFile {
  const fd = typeof dest === "number" ? dest : openSync(dest, "a");
  const waiting: Chunk[] = [];
  const whenIdle: (() => void)[] = [];
  let waitingBytes = 0;
  let writingSince: number | undefined;
  /** What is to be written before anything else: a chunk that was taken in part, or not at that moment. */
  let rest: { chunk: Chunk; data: Buffer } | undefined;
  let scheduled = false;
  let torn = false;
  let lost = 0;
  let closed = false;

  function next(): { chunk: Chunk; data: Buffer } | undefined {
    if (rest !== undefined) {
      const again = rest;
      rest = undefined;
      return again;
    }
    const chunk = waiting.shift();
    if (chunk === undefined) return undefined;
    waitingBytes -= chunk.bytes;
    // The line that a failure cut short is ended, so that the next one can be read.
    return { chunk, data: Buffer.from(torn ? `\n${chunk.text}` : chunk.text) };
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
    if (torn) rest = { chunk, data: data.subarray(written) };
    else if (lost > 0) {
      const text = `${JSON.stringify({ level: 50, time: Date.now(), lost, msg: "log lines were lost" })}\n`;
      // Lost as well, it would be counted among them.
      waiting.unshift({ text, bytes: Buffer.byteLength(text), lines: lost });
      waitingBytes += Buffer.byteLength(text);
      lost = 0;
    }
    return true;
  }

  function pump(): void {
    scheduled = false;
    if (writingSince !== undefined) return;
    const one = closed ? undefined : next();
    if (one === undefined) {
      for (const resolve of whenIdle.splice(0)) resolve();
      return;
    }
    const { chunk, data } = one;
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
      const last = waiting.at(-1);
      if (waitingBytes + bytes > MAX_WAITING_BYTES) lost += 1;
      else if (last !== undefined && last.bytes + bytes <= MAX_WRITE_BYTES) {
        last.text += line;
        last.bytes += bytes;
        last.lines += 1;
        waitingBytes += bytes;
      } else {
        waiting.push({ text: line, bytes, lines: 1 });
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
      for (let one = closed ? undefined : next(); one !== undefined; one = closed ? undefined : next()) {
        try {
          settle(one.chunk, one.data, null, writeSync(fd, one.data));
        } catch (error) {
          if (settle(one.chunk, one.data, error as NodeJS.ErrnoException, 0)) continue;
          if (performance.now() - startedAt > STUCK_MS) return;
          Bun.sleepSync(RETRY_MS);
        }
      }
    },
  };
}

/**
 * A local part is an atom with dots, or quoted, and has at most 64 characters (RFC 5321 4.1.2, 4.5.3.1.1); what
 * follows the @ is a domain, whose labels may be in any script (RFC 6531), or an address literal.
 */
const ADDRESS =
  /(?:"((?:[^"\\\r\n]|\\[^\r\n]){1,128})"|(?<![A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\uffff-])([A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\uffff-])[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\uffff-]{0,63})@(\[[^\]\s]{1,255}\]|[A-Za-z0-9.\u0080-\uffff-]{1,255})/g;

/** "an@example.com" becomes "a***@example.com", wherever it stands in a text, and an address literal "[***]". */
export function maskAddresses(text: string): string {
  return text.replace(ADDRESS, (_, quoted: string | undefined, first: string | undefined, domain: string) => {
    return `${quoted?.[0] ?? first}***@${domain.startsWith("[") ? "[***]" : domain}`;
  });
}

/** What a relay or an error says may hold addresses: those fields are masked as they are written. */
export function createLog({ level, plain, destination }: LogOptions): Logger {
  const mask = (value: unknown) => (typeof value === "string" ? maskAddresses(value) : value);
  const serializers = plain ? {} : { reason: mask, reply: mask, recipient: mask, eventId: mask };
  return pino({ level, base: null, serializers: { ...serializers, err: errorOf(plain) } }, destination);
}

/** What is thrown may be anything. */
function errorOf(plain: boolean) {
  const mask = (text: unknown) => (plain || typeof text !== "string" ? text : maskAddresses(text));
  return (thrown: unknown) => {
    if (!(thrown instanceof Error))
      return { thrown: mask(typeof thrown === "object" ? JSON.stringify(thrown) : String(thrown)) };
    const { type, message, stack, code } = pino.stdSerializers.err(thrown) as Record<string, unknown>;
    return { type, code: mask(code), message: mask(message), stack: mask(stack) };
  };
}
