/* A Redis master with replicas, each a real redis-server with a port of its own, and a sentinel that watches them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Redis from "ioredis";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import { freePort } from "./freePort.ts";
import { startRedis, type TestRedis } from "./redis.ts";
import { until } from "./until.ts";

export interface TestNode extends TestRedis {
  port: number;
}

export interface TestGroup {
  nodes: TestNode[];
  /** The one that is master now. */
  master(): Promise<TestNode>;
  /** Resolves when the master has all other nodes as its replicas, and they are up to date with it. */
  settled(): Promise<TestNode>;
  /** Stops a replica with nothing on its way to it: what the master is told from now on, it does not get. */
  cutOff(replica: TestNode): Promise<void>;
  stop(): Promise<void>;
}

export interface SentinelGroup extends TestGroup {
  address: RedisAddress & { kind: "sentinel" };
  /** For REDIS_URL. */
  url: string;
  /** A planned failover; resolves with the new master when it is one. */
  failOver(): Promise<TestNode>;
}

const SETTLE_MS = 60_000;

export async function startGroup(replicas = 1, ...extra: string[]): Promise<TestGroup> {
  const nodes: TestNode[] = [];
  async function add(...options: string[]): Promise<void> {
    const port = freePort();
    const server = await startRedis("--port", String(port), "--repl-diskless-sync-delay", "0", ...extra, ...options);
    nodes.push(Object.assign(server, { port }));
  }
  await add();
  for (let n = 0; n < replicas; n++) await add("--replicaof", `127.0.0.1 ${nodes[0]?.port}`);

  async function master(): Promise<TestNode> {
    for (const node of nodes) if ((await roleOf(node)) === "master") return node;
    throw new Error("no node is master");
  }
  async function settled(): Promise<TestNode> {
    return until(
      "the master has its replicas",
      async () => {
        const now = await master().catch(() => undefined);
        // Online is one that has been sent all; it may be loading it still.
        const upToDate = await now?.raw.wait(nodes.length - 1, 100).catch(() => 0);
        return upToDate === nodes.length - 1 ? now : undefined;
      },
      SETTLE_MS,
    );
  }
  await settled();
  return {
    nodes,
    master,
    settled,
    async cutOff(replica) {
      const now = await settled();
      replica.signal("SIGSTOP");
      await now.raw.call("CLIENT", "KILL", "TYPE", "replica");
    },
    async stop() {
      for (const node of nodes) {
        node.signal("SIGCONT");
        await node.stop();
      }
    },
  };
}

/** "" when it does not answer at once. */
async function roleOf({ raw }: TestNode): Promise<string> {
  const role = raw.role().then(
    (answer) => String(answer[0]),
    () => "",
  );
  return Promise.race([role, Bun.sleep(500).then(() => "")]);
}

const NAME = "pp";

/** @param downAfterMs after which a master that does not answer is replaced */
export async function startSentinelGroup(replicas = 1, downAfterMs = 1_000): Promise<SentinelGroup> {
  const group = await startGroup(replicas);
  const port = freePort();
  const directory = mkdtempSync(join(tmpdir(), "pp-"));
  const file = join(directory, "sentinel.conf");
  const lines = [
    `port ${port}`,
    "bind 127.0.0.1",
    `dir ${directory}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${group.nodes[0]?.port} 1`,
    `sentinel down-after-milliseconds ${NAME} ${downAfterMs}`,
    `sentinel failover-timeout ${NAME} 5000`,
  ];
  writeFileSync(file, `${lines.join("\n")}\n`);
  const server = Bun.spawn(["redis-server", file, "--sentinel"], { stdout: "ignore", stderr: "ignore" });
  const sentinel = new Redis({ port, protocol: 2, maxRetriesPerRequest: null, retryStrategy: () => 50 });
  sentinel.on("error", () => {});

  async function knowsAll(): Promise<boolean> {
    const known = (await sentinel.call("SENTINEL", "REPLICAS", NAME)) as string[][];
    const good = known.filter((one) => one.includes("slave") && one.includes("ok"));
    return good.length === group.nodes.length - 1;
  }
  await until("the sentinel knows the replicas", knowsAll, SETTLE_MS);
  return {
    ...group,
    address: { kind: "sentinel", hosts: [{ host: "127.0.0.1", port }], name: NAME },
    url: `redis+sentinel://127.0.0.1:${port}/${NAME}`,
    async failOver() {
      const before = await group.settled();
      await until(
        "the sentinel begins a failover",
        () =>
          sentinel.call("SENTINEL", "FAILOVER", NAME).then(
            () => true,
            () => false, // it still works on the last one, or has not seen the replica yet
          ),
        SETTLE_MS,
      );
      return until(
        "another node is master",
        async () => {
          const roles = await Promise.all(group.nodes.map(roleOf));
          const now = group.nodes[roles.indexOf("master")];
          return roles.filter((role) => role === "master").length === 1 && now !== before ? now : undefined;
        },
        SETTLE_MS,
      );
    },
    async stop() {
      sentinel.disconnect();
      server.kill("SIGKILL");
      await server.exited;
      await group.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
