/* A real Redis Cluster, of masters alone, or with a replica for each. */
import { slotOf } from "../../src/stream/keys.ts";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";
import { freePort } from "./freePort.ts";
import { startRedis, type TestRedis } from "./redis.ts";
import { until } from "./until.ts";

export interface TestNode extends TestRedis {
  port: number;
  id: string;
}

export interface TestCluster {
  /** The masters first; behind them as many replicas, in the same order. */
  nodes: TestNode[];
  address: RedisAddress;
  stop(): Promise<void>;
}

interface ClusterOptions {
  replicas?: boolean;
  /** What redis-server is told of TLS: then it speaks nothing else. */
  tls?: readonly string[] | undefined;
}

const SLOTS = 16_384;

/** @param masters each has the same share of the slots, in order */
export async function startCluster(masters: number, options: ClusterOptions = {}): Promise<TestCluster> {
  const count = options.replicas ? 2 * masters : masters;
  const nodes = await Promise.all(Array.from({ length: count }, () => startNode(options.tls)));
  const first = nodes[0] as TestNode;
  for (const [i, node] of nodes.entries()) {
    await node.raw.cluster("SET-CONFIG-EPOCH", i + 1);
    if (i > 0) await first.raw.cluster("MEET", "127.0.0.1", node.port);
    if (i >= masters) continue;
    const share = Math.ceil(SLOTS / masters);
    await node.raw.call("CLUSTER", "ADDSLOTSRANGE", i * share, Math.min(SLOTS, (i + 1) * share) - 1);
  }
  // While they shake hands a node is listed under an id that is not its own.
  const knows = async (node: TestNode) => {
    const known = String(await node.raw.cluster("NODES"))
      .trim()
      .split("\n");
    return known.length === count && !known.some((one) => one.includes("handshake"));
  };
  for (const node of nodes) await until("a node knows the others", () => knows(node));
  for (const [i, node] of nodes.slice(masters).entries()) await node.raw.cluster("REPLICATE", nodes[i]?.id ?? "");
  for (const [i, node] of nodes.entries()) {
    const isUp = async () => String(await node.raw.cluster("INFO")).includes("cluster_state:ok");
    await until("the cluster is up", isUp, 30_000);
    if (i < masters) continue;
    const follows = async () => /^master_link_status:up/m.test(await node.raw.info("replication"));
    await until("a replica follows", follows, 30_000);
  }
  return {
    nodes,
    address: { kind: "cluster", hosts: nodes.map(({ port }) => ({ host: "127.0.0.1", port })) },
    stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))),
  };
}

/** A slot on its way from one node to another. */
export interface SlotMove {
  source: TestNode;
  target: TestNode;
  /** Of the slot, on the source. */
  keys(): Promise<string[]>;
  migrate(key: string): Promise<void>;
  /** Moves what is left, and says that the slot has arrived. */
  end(): Promise<void>;
}

/** Opens the slot of a tag, as `redis-cli --cluster reshard` does. @param to the target, other than the owner */
export async function beginMove({ nodes }: TestCluster, tag: string, to?: TestNode): Promise<SlotMove> {
  const slot = slotOf(tag);
  const owned = await Promise.all(nodes.map(({ raw }) => raw.call("CLUSTER", "COUNTKEYSINSLOT", slot)));
  const source = nodes[owned.findIndex((count) => Number(count) > 0)];
  const target = to ?? nodes.find((node) => node !== source);
  if (source === undefined || target === undefined) throw new Error(`no node has keys of slot ${slot}`);
  await target.raw.cluster("SETSLOT", slot, "IMPORTING", source.id);
  await source.raw.cluster("SETSLOT", slot, "MIGRATING", target.id);
  const keys = async () => (await source.raw.cluster("GETKEYSINSLOT", slot, 10_000)) as string[];
  const migrate = async (key: string) =>
    void (await source.raw.call("MIGRATE", "127.0.0.1", target.port, key, 0, 5_000));
  return {
    source,
    target,
    keys,
    migrate,
    async end() {
      for (const key of await keys()) await migrate(key);
      for (const node of [target, source]) await node.raw.cluster("SETSLOT", slot, "NODE", target.id);
    },
  };
}

async function startNode(tls?: readonly string[]): Promise<TestNode> {
  const port = freePort();
  const listens = tls ? ["--tls-port", String(port), "--tls-cluster", "yes", ...tls] : ["--port", String(port)];
  const server = await startRedis(
    ...["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", ...listens],
    ...["--cluster-node-timeout", "2000"],
  );
  return Object.assign(server, { port, id: String(await server.raw.cluster("MYID")) });
}

/** `redis-cli --cluster …`. @throws with what it has said, when it fails */
export async function clusterTool(...args: string[]): Promise<string> {
  const tool = Bun.spawn(["redis-cli", "--cluster", ...args], { stdout: "pipe", stderr: "pipe" });
  const said = (await Promise.all([tool.stdout.text(), tool.stderr.text()])).join("");
  if ((await tool.exited) !== 0) throw new Error(`redis-cli --cluster ${args.join(" ")}: ${said.slice(-2_000)}`);
  return said;
}
