/*
 * The SMTP server that stands in for a relay when SMTP_URL is unset: it takes every mail, sends none on,
 * and keeps the latest ones as files for people and tests. A 250 means that the file is there, whole:
 * it is written under another name first. File names sort by time of arrival.
 */
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Logger } from "pino";
import { SMTPServer, type SMTPServerDataStream } from "smtp-server";
import { sleep, time } from "../domain/time.ts";

export interface CatcherOptions {
  /** CATCHER_PORT; 0 takes a free one. */
  port: number;
  host?: string;
  directory: string;
  /** Older mails beyond this many are deleted. */
  keep?: number;
  log?: Pick<Logger, "info" | "error">;
}

export interface Catcher {
  port: number;
  stop(): Promise<void>;
}

const HOST = "127.0.0.1";
const MAX_BYTES = 26_214_400;
const CLOSE_MS = 500;
const PART = ".part";

/**
 * For who starts the catcher in another process, and wants to know before.
 * @param waitMs a predecessor may still be ending what it has in flight
 * @throws as startCatcher
 */
export async function checkPort(port: number, waitMs: number, host = HOST): Promise<void> {
  for (const deadline = time.monotonicMs() + waitMs; ; await sleep(50)) {
    try {
      const server = createServer();
      await listening(server, port, host);
      await new Promise((resolve) => server.close(resolve));
      return;
    } catch (error) {
      const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
      if (code !== "EADDRINUSE" || time.monotonicMs() > deadline) throw error;
    }
  }
}

/** @throws when the port cannot be had, saying what to do */
export async function startCatcher(options: CatcherOptions): Promise<Catcher> {
  const { port, host = HOST, directory, keep = 1_000, log } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const names = await readdir(directory);
  await Promise.all(
    names.filter((name) => name.endsWith(PART)).map((name) => rm(join(directory, name), { force: true })),
  );
  const kept = names.filter((name) => name.endsWith(".eml")).sort();
  const storing = new Set<Promise<void>>();
  let sequence = 0;

  async function store(stream: SMTPServerDataStream): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    const raw = Buffer.concat(chunks);
    if (stream.sizeExceeded) return; // answered with 552
    const messageId = messageIdOf(raw);
    const stamp = new Date(time.epochMs()).toISOString().replace(/[:.]/g, "-");
    const name = `${stamp}-${String(++sequence).padStart(6, "0")}-${messageId ?? "mail"}.eml`;
    const path = join(directory, name);
    await writeFile(path + PART, raw, { mode: 0o600 });
    await rename(path + PART, path);
    log?.info({ messageId, file: name }, "mail caught");
    kept.push(name);
    kept.sort(); // a large mail may have begun before a small one, and ended after it
    const surplus = kept.splice(0, Math.max(0, kept.length - keep));
    await Promise.all(surplus.map((old) => rm(join(directory, old), { force: true })));
  }

  const server = new SMTPServer({
    name: "catcher.postpaid.invalid",
    disabledCommands: ["AUTH", "STARTTLS"],
    authOptional: true,
    disableReverseLookup: true,
    logger: false,
    size: MAX_BYTES,
    rejectOversized: true,
    closeTimeout: CLOSE_MS,
    onData(stream, _session, answer) {
      const stored = store(stream).then(
        () => answer(null, "2.0.0 caught"),
        (cause: Error) => {
          log?.error({ err: cause }, "caught mail not stored");
          answer(Object.assign(new Error("4.3.0 the mail could not be stored"), { responseCode: 451 }));
        },
      );
      storing.add(stored);
      void stored.finally(() => storing.delete(stored));
    },
  });

  await listening(server, port, host);
  server.on("error", () => undefined); // a client that broke off

  return {
    port: (server.server.address() as { port: number }).port,
    async stop() {
      await new Promise<void>((resolve) => server.close(resolve));
      await Promise.all(storing);
    },
  };
}

function listening(server: Server | SMTPServer, port: number, host: string): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => reject(portError(cause, port, host)));
    server.listen(port, host, resolve);
  });
}

function messageIdOf(raw: Buffer): string | undefined {
  const end = raw.indexOf("\r\n\r\n");
  const head = raw.toString("latin1", 0, end === -1 ? raw.length : end);
  return /^X-Postpaid-Message: ([\w.-]{1,64})\r?$/im.exec(head)?.[1];
}

function portError(cause: NodeJS.ErrnoException, port: number, host: string): Error {
  const problem =
    cause.code === "EADDRINUSE"
      ? "is in use: stop what listens there (an earlier run?), choose another CATCHER_PORT, or set SMTP_URL to use it as the relay"
      : `cannot be listened on: ${cause.message}`;
  return new Error(`CATCHER_PORT ${port} on ${host} ${problem}`, { cause });
}
