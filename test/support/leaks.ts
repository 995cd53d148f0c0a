/*
 * Fails a test file that leaves a child process or an open socket behind. It reads /proc, so it sees nothing
 * outside Linux. Call it after the file's own afterAll: hooks run in the order of their registration.
 */
import { afterAll, beforeAll } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { until } from "./until.ts";

const SELF = "/proc/self";

export function failOnLeaks(): void {
  if (!existsSync(SELF)) return;
  let before: string[] = [];
  beforeAll(() => {
    before = held();
  });
  afterAll(async () => {
    let left: string[] = [];
    const nothingLeft = () => {
      left = held().filter((one) => !before.includes(one));
      return left.length === 0;
    };
    // What was closed a moment ago may still be there.
    await until("nothing is left", nothingLeft, 2_000).catch(() => {
      throw new Error(`the file leaves behind: ${left.join(", ")}`);
    });
  });
}

function held(): string[] {
  const children = readdirSync(`${SELF}/task`).flatMap((thread) =>
    orEmpty(() => readFileSync(`${SELF}/task/${thread}/children`, "utf8")).split(" "),
  );
  const sockets = readdirSync(`${SELF}/fd`).map((fd) => orEmpty(() => readlinkSync(`${SELF}/fd/${fd}`)));
  return [
    ...children.filter((pid) => pid !== "").map((pid) => `process ${pid} ${nameOf(pid)}`),
    ...sockets.filter((target) => target.startsWith("socket:")),
  ];
}

function nameOf(pid: string): string {
  return orEmpty(() => readFileSync(`/proc/${pid}/comm`, "utf8")).trim();
}

/** What was listed a moment ago may be gone. */
function orEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}
