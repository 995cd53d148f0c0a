/*
 * How many partitions there are, and how many there were. Redis has it, the same for all services and workers.
 *
 * An event's partition comes from its id and their number. When the number changes, messages stay where they are: an
 * event that is known in the partition of an earlier number stays there, with its idempotency key, and all others go to
 * that of the present one. So the partitions of earlier numbers are served for as long as they are remembered.
 */
import { partitionOf, tagsOf } from "./keys.ts";

export interface Layout {
  /** Grows by one with each change. 0: the number does not change, and nothing is fenced. */
  version: number;
  partitions: number;
  /** The latest first. */
  earlier: readonly Earlier[];
}

interface Earlier {
  partitions: number;
  /** Epoch ms, by Redis's clock, which fence.lua writes in the place of a 0. */
  endedAt: number;
}

/** Of a layout that is assumed until Redis has answered: no partition takes anything that was placed by it. */
export const UNKNOWN = -1;

/** A layout that may change, or a number of partitions that does not. */
export type Partitions = number | (() => Layout);

export function layoutOf(partitions: Partitions): Layout {
  return typeof partitions === "function" ? partitions() : { version: 0, partitions, earlier: [] };
}

/** Partitions that may have messages: all below this number. */
export function servedBy({ partitions, earlier }: Layout): number {
  return Math.max(partitions, ...earlier.map((one) => one.partitions));
}

export function tagsServedBy(partitions: Partitions): string[] {
  return tagsOf(servedBy(layoutOf(partitions)));
}

/** Where a new event goes. */
export function homeOf(eventId: string, partitions: Partitions): number {
  return partitionOf(eventId, layoutOf(partitions).partitions);
}

/** Where an event may be instead, from before a change. */
export function earlierHomesOf(eventId: string, layout: Layout): number[] {
  const homes = new Set(layout.earlier.map(({ partitions }) => partitionOf(eventId, partitions)));
  homes.delete(partitionOf(eventId, layout.partitions));
  return [...homes];
}

/** As it stands in Redis: the scripts read the version, the digits before the first blank. */
export function textOf({ version, ...rest }: Layout): string {
  return `${version} ${JSON.stringify(rest)}`;
}

/** Undefined for what is no layout. */
export function parseLayout(text: string | null | undefined): Layout | undefined {
  const [, version, json] = /^(\d{1,9}) (\{.*\})$/.exec(text ?? "") ?? [];
  if (version === undefined || json === undefined) return undefined;
  try {
    const { partitions, earlier } = JSON.parse(json) as Omit<Layout, "version">;
    return Number.isInteger(partitions) && Array.isArray(earlier)
      ? { version: Number(version), partitions, earlier }
      : undefined;
  } catch {
    return undefined;
  }
}
