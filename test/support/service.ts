/* The service as its users start it: a process of its own, on a folder of its own, seen from outside. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const INGEST_KEY = "test-ingest-key-of-a-service";
const ADMIN_TOKEN = "test-admin-token-of-a-service";

type Line = Record<string, unknown> & { msg: string };

export interface TestService {
  url: string;
  dataDir: string;
  process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  lines: Line[];
  stderr: string[];
  /** The first line, past or to come, that `wanted` accepts. */
  line(wanted: (line: Line) => boolean): Promise<Line>;
  adminToken: string;
  post(event: unknown): Promise<Response>;
  decide(eventId: string, decision: "commit" | "rollback"): Promise<Response>;
  get(path: string, token?: string): Promise<Response>;
  /** kill -9 of the service's main process. */
  kill(): Promise<void>;
  /** SIGTERM; returns the exit status. */
  stop(): Promise<number>;
}

const MAIN = join(import.meta.dir, "../../src/main.ts");

export function makeDataDir(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "pp-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Not so when it has ended and its parent has not noticed yet, which only /proc says. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const status = `/proc/${pid}/status`;
    return !existsSync(status) || !/^State:\s*Z/m.test(readFileSync(status, "utf8"));
  } catch {
    return false;
  }
}

/** Resolves when the service has said that it listens. */
export async function startService(dataDir: string, env: Record<string, string> = {}): Promise<TestService> {
  const child = Bun.spawn([process.execPath, MAIN, "start"], {
    env: {
      PATH: process.env["PATH"] ?? "",
      DATA_DIR: dataDir,
      PORT: "0",
      CATCHER_PORT: "0",
      INGEST_KEYS: INGEST_KEY,
      ADMIN_TOKEN,
      MAIL_FROM: "postpaid <no-reply@localhost>",
      ...env,
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const lines: Line[] = [];
  const waiting: { wanted: (line: Line) => boolean; resolve: (line: Line) => void }[] = [];
  void collect(child.stdout, (text) => {
    const line = JSON.parse(text) as Line;
    lines.push(line);
    for (const one of waiting.filter(({ wanted }) => wanted(line))) {
      waiting.splice(waiting.indexOf(one), 1);
      one.resolve(line);
    }
  });
  const stderr: string[] = [];
  void collect(child.stderr, (text) => stderr.push(text));
  const line = (wanted: (line: Line) => boolean): Promise<Line> => {
    const past = lines.find(wanted);
    return past ? Promise.resolve(past) : new Promise((resolve) => waiting.push({ wanted, resolve }));
  };
  const started = await Promise.race([
    line(({ msg }) => msg === "service started"),
    child.exited.then((status) => {
      throw new Error(`the service ended with status ${status}: ${stderr.join("\n")}\n${JSON.stringify(lines)}`);
    }),
  ]);
  const url = String(started["url"]);
  return {
    url,
    dataDir,
    process: child,
    lines,
    stderr,
    line,
    post: (event) =>
      fetch(new URL("/v1/events", url), {
        method: "POST",
        headers: { authorization: `Bearer ${INGEST_KEY}` },
        body: JSON.stringify(event),
      }),
    adminToken: ADMIN_TOKEN,
    decide: (eventId, decision) =>
      fetch(new URL(`/v1/events/${eventId}/${decision}`, url), {
        method: "POST",
        headers: { authorization: `Bearer ${INGEST_KEY}` },
      }),
    get: (path, token = ADMIN_TOKEN) => fetch(new URL(path, url), { headers: { authorization: `Bearer ${token}` } }),
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
    async stop() {
      child.kill("SIGTERM");
      return child.exited;
    },
  };
}

async function collect(output: ReadableStream<Uint8Array>, each: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of output) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) each(line);
  }
}
