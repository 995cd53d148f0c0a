/* A sentinel of its own for a server, with whatever lines its configuration needs. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Redis from "ioredis";
import { until } from "./until.ts";

export const MASTER = "mymaster";

/**
 * @param port its own; a plain one unless `lines` say otherwise
 * @param asks for a client of this test, that knows what the sentinel wants to hear
 */
export async function startSentinel(port: number, masterPort: number, lines: string[], asks: object = {}) {
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const file = join(directory, "sentinel.conf");
  const own = lines.some((line) => line.startsWith("tls-port")) ? [] : [`port ${port}`];
  const watched = [`sentinel monitor ${MASTER} 127.0.0.1 ${masterPort} 1`];
  writeFileSync(file, `${[...own, "bind 127.0.0.1", `dir ${directory}`, ...watched, ...lines].join("\n")}\n`);
  const server = Bun.spawn(["redis-server", file, "--sentinel"], { stdout: "ignore", stderr: "ignore" });
  const client = new Redis({ port, protocol: 2, maxRetriesPerRequest: null, retryStrategy: () => 50, ...asks });
  client.on("error", () => {});
  const sees = async () => {
    const known = (await client.call("SENTINEL", "MASTERS")) as string[][];
    return known[0]?.[known[0].indexOf("flags") + 1] === "master";
  };
  await until("the sentinel sees its master", sees, 30_000);
  return {
    /** As a healthy one, that may take over. */
    async knowsReplica(): Promise<boolean> {
      const [replica] = (await client.call("SENTINEL", "REPLICAS", MASTER)) as string[][];
      return ["slave", "ok"].every((flag) => replica?.includes(flag));
    },
    async stop() {
      client.disconnect();
      server.kill("SIGKILL");
      await server.exited;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
