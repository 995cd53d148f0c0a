/* What a child of the queue bench is asked, and how it is measured: the same for each peer. */
import type { Event } from "../../src/domain/event.ts";
import { answerParent } from "./child.ts";
import { benchEvent, withInFlight } from "./measure.ts";

export interface Job {
  kind: "singles" | "bulk" | "drain";
  count: number;
  /** The ids of the events begin with it. */
  prefix: string;
}

export interface JobResult {
  perSecond: number;
  /** Of this process, for each message. */
  cpuUs: number;
}

export const IN_FLIGHT = 50;
export const BULK = 500;

export interface Peer {
  add(event: Event): Promise<unknown>;
  addBulk(events: readonly Event[]): Promise<unknown>;
  /** Handles `count` messages, IN_FLIGHT at a time; resolves when the last one is settled. Returns what stops it. */
  drain(count: number): Promise<() => Promise<void>>;
}

const EVENT_TEXT = JSON.stringify(benchEvent("@ID@")).replaceAll("@id@", "@ID@");

/** Parsed, as those that a service is posted: that leaves no code to be compiled while the job is measured. */
function eventsOf({ kind, count, prefix }: Job): Event[] {
  if (kind === "drain") return [];
  return Array.from({ length: count }, (_, i) => JSON.parse(EVENT_TEXT.replaceAll("@ID@", `${prefix}${i}`)));
}

export function answerJobs(peer: Peer): void {
  answerParent<Job>("ready", async (job): Promise<JobResult> => {
    const { kind, count } = job;
    const events = eventsOf(job);
    let stop = async () => {};
    const cpu = process.cpuUsage();
    const startedAt = performance.now();
    switch (kind) {
      case "singles":
        await withInFlight(count, IN_FLIGHT, (i) => peer.add(events[i] as Event));
        break;
      case "bulk":
        for (let i = 0; i < count; i += BULK) await peer.addBulk(events.slice(i, i + BULK));
        break;
      case "drain":
        stop = await peer.drain(count);
    }
    const perSecond = count / ((performance.now() - startedAt) / 1000);
    const { user, system } = process.cpuUsage(cpu);
    await stop();
    return { perSecond, cpuUs: (user + system) / count };
  });
}
