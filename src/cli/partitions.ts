/* postpaid partitions [n]: how many there are, or how many there shall be. */
import { openServiceClient, type ServiceOptions, Usage } from "./serviceClient.ts";

interface Partition {
  number: number;
  waiting: number;
  held: number;
  dead: number;
  draining: boolean;
}

interface Standing {
  partitions: number;
  items: Partition[];
}

/** Returns what is printed. @throws Usage, Fault */
export async function partitions(
  wanted: string | undefined,
  options: ServiceOptions & { json?: true },
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  if (wanted !== undefined && !(/^[1-9]\d{0,2}$/.test(wanted) && Number(wanted) <= 256))
    throw new Usage(`the number of partitions is ${JSON.stringify(wanted)}, allowed: an integer from 1 to 256`);
  const service = openServiceClient(options, env);
  const standing = await (wanted === undefined
    ? service.get<Standing>("/v1/partitions")
    : service.post<Standing>("/v1/partitions", { partitions: Number(wanted) }));
  if (options.json) return JSON.stringify(standing, undefined, 2);
  const table = tableOf(standing);
  return wanted === undefined
    ? table
    : `${table}\n\nWhere PARTITIONS is set, set it to ${wanted} before the next start.`;
}

function tableOf({ partitions: count, items }: Standing): string {
  const rows = items.map(({ number, waiting, held, dead, draining }) =>
    [number, waiting, held, dead, draining ? "no new events" : ""].map(String),
  );
  const all = [["partition", "waiting", "held", "dead", ""], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length))) ?? [];
  const lines = all.map((row) =>
    row
      .map((cell, i) => cell.padStart(i < 4 ? (widths[i] ?? 0) : 0))
      .join("  ")
      .trimEnd(),
  );
  return [`New events go to ${count === 1 ? "one partition" : `${count} partitions`}.`, "", ...lines].join("\n");
}
