import type { Event } from "./event.ts";
import type { State } from "./lifecycle.ts";

/**
 * What a 2xx stands for. `fsynced`: on Redis's disk. `written`: in Redis's AOF, synced within a second.
 * `journaled`: synced on the local disk, not in Redis yet. `volatile`: this Redis keeps nothing on disk.
 */
export type Durability = "fsynced" | "written" | "journaled" | "volatile";

export interface Accepted {
  kind: "accepted";
  messageId: string;
  state: State;
  /** Epoch ms. */
  dueAt: number;
  /** The same event was accepted before, within the dedup window. */
  duplicate: boolean;
  durability: Durability;
}

export type Posted =
  | Accepted
  /** The id was used for another body within the dedup window. */
  | { kind: "conflict"; messageId: string }
  /** Not accepted: the backlog is at its limit. */
  | { kind: "full"; limit: number }
  /** Not accepted, as far as is known: posting the same event again is safe. */
  | { kind: "unavailable"; reason: string };

/** Where events are taken in. */
export interface Ingress {
  post(event: Event): Promise<Posted>;
}
