/*
 * Two services, each with its worker, on one Redis, whose number of partitions changes again and again under load: while
 * one of them is killed in the middle of the change, or its service or its worker is stopped and learns of it late.
 */
import { readFileSync } from "node:fs";
import { startCluster } from "../../test/support/cluster.ts";
import { freePort } from "../../test/support/freePort.ts";
import { startRedis } from "../../test/support/redis.ts";
import { startRelay } from "../../test/support/relay.ts";
import { makeDataDir, startService, type TestService } from "../../test/support/service.ts";
import { type Fleet, startDecisions } from "./decisions.ts";

/** The load between two changes. A process is stopped for less than a lease. */
const [BETWEEN_MS, STOPPED_MS, SETTLE_MS] = [2_000, 2_000, 60_000];

export interface PartitionsOptions {
  /** The numbers that it changes to, from one on. */
  numbers: readonly number[];
  perSecond: number;
  cluster: boolean;
}

/** Resolves with whether all is well. */
export async function partitions(options: PartitionsOptions): Promise<boolean> {
  const redis = options.cluster ? await startCluster(3) : await startRedis();
  const relay = await startRelay();
  const directories = [makeDataDir(), makeDataDir()];
  const ports = [freePort(), freePort()];
  const start = (n: number) =>
    startService(directories[n]?.path ?? "", {
      REDIS_URL: urlOf(redis.address),
      SMTP_URL: relay.url,
      PORT: String(ports[n]),
      DELAY_MS: "0",
    });
  const services = [await start(0), await start(1)];
  const fleet: Fleet = { urls: ports.map((port) => `http://127.0.0.1:${port}`), services: () => services };
  const load = startDecisions(fleet, relay, options.perSecond);

  async function change(number: number, n: number): Promise<void> {
    const [changer, other] = [n % 2, (n + 1) % 2];
    const service = services[changer] as TestService;
    if (n % 3 === 0) {
      const asking = ask(service, number).catch(() => undefined);
      await Bun.sleep((n * 7) % 20);
      await service.kill();
      await asking;
      services[changer] = await start(changer);
      await ask(services[other] as TestService, number);
      return;
    }
    const { pid } = (services[other] as TestService).process;
    const stopped = n % 3 === 1 ? pid : workerOf(pid);
    process.kill(stopped, "SIGSTOP");
    await ask(service, number);
    await Bun.sleep(STOPPED_MS);
    process.kill(stopped, "SIGCONT");
  }

  for (const [n, number] of options.numbers.entries()) {
    await Bun.sleep(BETWEEN_MS);
    const startedAt = performance.now();
    await change(number, n);
    console.log(`change ${n + 1}, to ${number}, took ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  }
  await Bun.sleep(BETWEEN_MS);
  const isWell = await load.check(SETTLE_MS);
  await Promise.all(services.map((service) => service.stop()));
  await relay.stop();
  await redis.stop();
  for (const { remove } of directories) remove();
  return isWell;
}

async function ask(service: TestService, number: number): Promise<void> {
  const response = await fetch(new URL("/v1/partitions", service.url), {
    method: "POST",
    headers: { authorization: `Bearer ${service.adminToken}` },
    body: JSON.stringify({ partitions: number }),
  });
  const { partitions } = (await response.json()) as { partitions?: number };
  if (partitions !== number) throw new Error(`${response.status}: ${partitions} partitions, not ${number}`);
}

function urlOf(address: Awaited<ReturnType<typeof startRedis | typeof startCluster>>["address"]): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.kind !== "cluster") throw new Error(address.kind);
  return `redis+cluster://${address.hosts.map(({ host, port }) => `${host}:${port}`).join(",")}`;
}

/** The process id of a service's child that runs the worker. */
function workerOf(service: number): number {
  const children = readFileSync(`/proc/${service}/task/${service}/children`, "utf8").trim().split(" ").map(Number);
  const [worker] = children.filter((pid) => readFileSync(`/proc/${pid}/environ`, "utf8").includes("ROLE=worker"));
  if (worker === undefined) throw new Error("the service has no worker");
  return worker;
}
