/* A real MariaDB of its own for a test file, in a temp folder, on a free loopback port. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { freePort } from "../support/freePort.ts";
import { runOn, startServer } from "../support/sqlServer.ts";

export interface TestMariadb {
  url: string;
  /** On a connection of its own. */
  admin(statement: string): Promise<Record<string, unknown>[]>;
  /** kill -9. */
  kill(): Promise<void>;
  /** On the same data and port. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function startMariadb(): Promise<TestMariadb> {
  const install = Bun.which("mariadb-install-db");
  const mariadbd = Bun.which("mariadbd", { PATH: `${process.env["PATH"]}:/usr/sbin` });
  if (install === null || mariadbd === null) {
    throw new Error("these tests need a MariaDB server: apt-get install mariadb-server-core mariadb-client-core");
  }
  const directory = mkdtempSync(join(tmpdir(), "pp-my-"));
  const user = userInfo().uid === 0 ? ["--user=root"] : []; // root may, when it is said aloud
  const data = `--datadir=${join(directory, "data")}`;
  const made = Bun.spawnSync(
    [install, "--no-defaults", ...user, data, "--auth-root-authentication-method=normal", "--skip-test-db"],
    { stdout: "ignore", stderr: "pipe" },
  );
  if (made.exitCode !== 0) throw new Error(`mariadb-install-db failed: ${made.stderr}`);
  const port = freePort();
  const url = `mysql://root@127.0.0.1:${port}/mysql`;
  let server: Bun.Subprocess | undefined;

  const admin = (statement: string) => runOn(url, statement);

  async function start(): Promise<void> {
    const socket = `--socket=${join(directory, "socket")}`;
    const small = ["--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=2"];
    server = await startServer(
      "MariaDB",
      [mariadbd ?? "", "--no-defaults", ...user, data, socket, `--port=${port}`, "--bind-address=127.0.0.1", ...small],
      { cwd: directory, url, log: join(directory, "log") },
    );
  }

  async function kill(): Promise<void> {
    server?.kill("SIGKILL");
    await server?.exited;
  }

  await start();
  return {
    url,
    admin,
    kill,
    start,
    async stop() {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
