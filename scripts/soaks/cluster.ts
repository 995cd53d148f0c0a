/*
 * A cluster of three masters, each with a replica, and eight partitions. Slots, and with them partitions, are moved from
 * master to master by redis-cli under load; or the masters are replaced, as planned or after kill -9, and come back as
 * replicas.
 */
import { slotOf, tagsOf } from "../../src/stream/keys.ts";
import { clusterTool, startCluster, type TestCluster, type TestNode } from "../../test/support/cluster.ts";
import { freePort } from "../../test/support/freePort.ts";
import { startRelay } from "../../test/support/relay.ts";
import { makeDataDir, startService } from "../../test/support/service.ts";
import { until } from "../../test/support/until.ts";
import { createLoad } from "./load.ts";

const PARTITIONS = 8;
const SETTLE_MS = 120_000;

export interface ClusterOptions {
  /** Reshards or, in their place, failovers. */
  times: number;
  perSecond: number;
  waiting: number;
  /** How long those that wait do, ms: until after the last reshard. */
  waitMs: number;
  does: "reshard" | "failover" | "kill";
  /** In a reshard: so many go to and fro between two masters. Undefined: all that a master has, round and round. */
  slots?: number;
  /** The load before and after each. */
  betweenMs: number;
  leaseMs: number;
}

/** Resolves with whether all is well. */
export async function cluster(options: ClusterOptions): Promise<boolean> {
  const nodes = await startCluster(3, { replicas: true });
  const relay = await startRelay();
  const directory = makeDataDir();
  const port = freePort();
  const hosts = nodes.nodes.map((node) => `127.0.0.1:${node.port}`).join(",");
  const service = await startService(directory.path, {
    REDIS_URL: `redis+cluster://${hosts}`,
    PARTITIONS: String(PARTITIONS),
    SMTP_URL: relay.url,
    LEASE_MS: String(options.leaseMs),
    PORT: String(port),
  });
  const load = createLoad(port, options.perSecond, relay, () => service);
  await load.wait(options.waiting, options.waitMs);
  const dueAt = performance.now() + options.waitMs;

  let over = false;
  const posting = (async () => {
    while (!over) await load.run(500);
  })();
  for (let n = 0; n < options.times; n++) {
    await Bun.sleep(options.betweenMs);
    const startedAt = performance.now();
    const what =
      options.does === "reshard" ? await reshard(nodes, n, options.slots) : await replace(nodes, n, options.does);
    console.log(`${what}: ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  }
  await Bun.sleep(options.betweenMs);
  over = true;
  await posting;
  await load.finish();
  // A second mail would come when a lease has ended.
  await Bun.sleep(Math.max(2 * options.leaseMs, dueAt - performance.now()));
  const isWell = await load.check(SETTLE_MS);
  const loud = service.lines.filter(({ level }) => Number(level) >= 40).map(({ msg }) => msg);
  for (const msg of new Set(loud)) console.log(`${loud.filter((one) => one === msg).length} × "${msg}"`);
  await relay.stop();
  await nodes.stop();
  directory.remove();
  return isWell;
}

/** Moves the lowest slots of the next master to another one. At least one stays: a master without any becomes a replica. */
async function reshard({ nodes }: TestCluster, n: number, slots: number | undefined): Promise<string> {
  const pair = slots === undefined ? [n % 3, (n + 1) % 3] : [1 + (n % 2), 2 - (n % 2)];
  const [from, to] = pair.map((index) => nodes[index]) as [TestNode, TestNode];
  const owned = (await slotsOf(from)).sort((a, b) => a - b);
  const moved = owned.slice(0, slots ?? owned.length - 1);
  const partitions = tagsOf(PARTITIONS).filter((tag) => moved.includes(slotOf(tag))).length;
  await clusterTool(
    ...["reshard", `127.0.0.1:${from.port}`, "--cluster-from", from.id, "--cluster-to", to.id],
    ...["--cluster-slots", String(moved.length), "--cluster-yes"],
  );
  return `reshard ${n + 1}, ${moved.length} slots with ${partitions} partitions`;
}

async function slotsOf({ raw }: TestNode): Promise<number[]> {
  const myself = String(await raw.cluster("NODES"))
    .split("\n")
    .find((line) => line.includes("myself"));
  const ranges = (myself ?? "")
    .split(" ")
    .slice(8)
    .filter((range) => !range.startsWith("["));
  return ranges.flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** The next of the three pairs gets its other node as master. */
async function replace({ nodes }: TestCluster, n: number, how: "failover" | "kill"): Promise<string> {
  const pair = [nodes[n % 3], nodes[(n % 3) + 3]] as [TestNode, TestNode];
  const isMaster = async (node: TestNode) => /^role:master/m.test(await node.raw.info("replication"));
  const [master, replica] = (await isMaster(pair[0])) ? pair : [pair[1], pair[0]];
  if (how === "failover") await replica.raw.cluster("FAILOVER");
  else await master.kill();
  await until("the replica is master", () => isMaster(replica), 30_000);
  if (how === "kill") await master.start();
  const follows = async () => /^master_link_status:up/m.test(await master.raw.info("replication"));
  await until("the other one follows", follows, 30_000);
  return `${how} ${n + 1}`;
}
