/* Runs a soak; exits with 1 when an event has no mail, or a second one, or one that it should not have. */
import { parseArgs } from "node:util";
import { cluster } from "./soaks/cluster.ts";
import { failover } from "./soaks/failover.ts";
import { outage } from "./soaks/outage.ts";
import { partitions } from "./soaks/partitions.ts";

const USAGE = `usage: scripts/soak [outage] [minutes of absence, default 3] [posts a second, default 100]
       scripts/soak failover [--failovers 10] [--per-second 150] [--replicas 1] [--min-replicas 0] [--kill]
       scripts/soak partitions [--numbers 4,2,8,1,3,1] [--per-second 150] [--cluster]
       scripts/soak cluster [reshard|failover|kill] [--times 4] [--per-second 150] [--waiting 20000] [--wait-s 120]`;

function usage(): never {
  console.error(USAGE);
  process.exit(2);
}

function positive(text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  return value > 0 ? value : usage();
}

function runFailover(args: string[]): Promise<boolean> {
  const { values } = parseArgs({
    args,
    options: {
      failovers: { type: "string" },
      "per-second": { type: "string" },
      replicas: { type: "string" },
      "min-replicas": { type: "string", default: "0" },
      kill: { type: "boolean", default: false },
    },
  });
  return failover({
    failovers: positive(values.failovers, 10),
    perSecond: positive(values["per-second"], 150),
    replicas: positive(values.replicas, 1),
    minReplicas: Number(values["min-replicas"]),
    kill: values.kill,
  });
}

function runPartitions(args: string[]): Promise<boolean> {
  const { values } = parseArgs({
    args,
    options: {
      numbers: { type: "string", default: "4,2,8,1,3,1" },
      "per-second": { type: "string" },
      cluster: { type: "boolean", default: false },
    },
  });
  return partitions({
    numbers: values.numbers.split(",").map((number) => positive(number, 1)),
    perSecond: positive(values["per-second"], 150),
    cluster: values.cluster,
  });
}

function runCluster([does = "reshard", ...args]: string[]): Promise<boolean> {
  if (does !== "reshard" && does !== "failover" && does !== "kill") return usage();
  const { values } = parseArgs({
    args,
    options: {
      times: { type: "string" },
      "per-second": { type: "string" },
      waiting: { type: "string" },
      "wait-s": { type: "string" },
    },
  });
  return cluster({
    does,
    times: positive(values.times, 4),
    perSecond: positive(values["per-second"], 150),
    waiting: Number(values.waiting ?? 20_000),
    waitMs: positive(values["wait-s"], 120) * 1_000,
    betweenMs: 2_000,
    leaseMs: 5_000,
  });
}

const [first, ...rest] = process.argv.slice(2);
const [minutes, perSecond] = first === "outage" ? rest : [first, ...rest];
const runs: Record<string, () => Promise<boolean>> = {
  failover: () => runFailover(rest),
  partitions: () => runPartitions(rest),
  cluster: () => runCluster(rest),
};
const run = runs[first ?? ""] ?? (() => outage(positive(minutes, 3), positive(perSecond, 100)));
process.exit((await run()) ? 0 : 1);
