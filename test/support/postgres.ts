/*
 * A real PostgreSQL of its own for a test file: a new cluster in a temp folder, on a free loopback port. PostgreSQL
 * refuses to run as root, so root runs it as the user that Debian's package made.
 */
import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { freePort } from "./freePort.ts";
import { runOn, startServer } from "./sqlServer.ts";

export interface TestPostgres {
  url: string;
  /** On a connection of its own. */
  admin(statement: string): Promise<Record<string, unknown>[]>;
  /** As after a crash: every connection breaks in the middle of what it does. */
  kill(): Promise<void>;
  /** On the same data and port. */
  start(): Promise<void>;
  /** Connections stay open, and nothing answers, until thaw(). */
  freeze(): Promise<void>;
  thaw(): void;
  stop(): Promise<void>;
}

const DEBIAN = "/usr/lib/postgresql";

export async function startPostgres(): Promise<TestPostgres> {
  const binaries = findBinaries();
  const directory = mkdtempSync(join(tmpdir(), "pp-pg-"));
  const data = join(directory, "data");
  const asUser = userInfo().uid === 0 ? asPostgres(directory) : [];
  const port = freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  let server: Bun.Subprocess | undefined;
  let frozen: number[] = [];

  const made = Bun.spawnSync(
    [
      ...asUser,
      join(binaries, "initdb"),
      "-D",
      data,
      "-U",
      "postgres",
      "-A",
      "trust",
      "-E",
      "UTF8",
      "--no-locale",
      "--no-sync",
    ],
    { cwd: directory, stderr: "pipe", stdout: "ignore" },
  );
  if (made.exitCode !== 0) throw new Error(`initdb failed: ${made.stderr}`);

  const admin = (statement: string) => runOn(url, statement);

  async function start(): Promise<void> {
    const settings = ["fsync=off", "shared_buffers=8MB", "listen_addresses=127.0.0.1", "unix_socket_directories="];
    server = await startServer(
      "PostgreSQL",
      [...asUser, join(binaries, "postgres"), "-D", data, "-p", String(port), ...settings.flatMap((s) => ["-c", s])],
      { cwd: directory, url, log: join(directory, "log") },
    );
  }

  async function kill(): Promise<void> {
    server?.kill("SIGQUIT");
    await server?.exited;
  }

  function thaw(): void {
    for (const pid of frozen) signal(pid, "SIGCONT");
    frozen = [];
  }

  await start();
  return {
    url,
    admin,
    kill,
    start,
    async freeze() {
      // Not from /proc: its list of children has gaps while one of them ends.
      const clients = "backend_type = 'client backend' AND pid <> pg_backend_pid()";
      const rows = await admin(`SELECT pid FROM pg_stat_activity WHERE ${clients}`);
      frozen = [server?.pid, ...rows.map(({ pid }) => Number(pid))].filter((pid) => pid !== undefined);
      for (const pid of frozen) signal(pid, "SIGSTOP");
    },
    thaw,
    async stop() {
      thaw();
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function findBinaries(): string {
  const versions = listOf(DEBIAN).sort((a, b) => Number(b) - Number(a));
  const installed = versions
    .map((version) => join(DEBIAN, version, "bin"))
    .find((bin) => listOf(bin).includes("initdb"));
  const onPath = Bun.which("initdb");
  const found = installed ?? (onPath === null ? undefined : dirname(onPath));
  if (found === undefined) throw new Error("these tests need a PostgreSQL server: apt-get install postgresql");
  return found;
}

function listOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The command that runs another one as the user `postgres`, who owns `directory` from here on. */
function asPostgres(directory: string): string[] {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((one) => one.startsWith("postgres:"));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) {
    throw new Error("PostgreSQL does not run as root, and there is no user postgres: apt-get install postgresql");
  }
  chownSync(directory, Number(uid), Number(gid));
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT"): void {
  try {
    process.kill(pid, name);
  } catch {
    // a connection that ended a moment ago
  }
}
