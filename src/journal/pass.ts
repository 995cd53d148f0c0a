import type { PutOnly } from "./upstream.ts";

/** "lost": what is in the journal, and was put, Redis does not know any more. */
export type Verdict = "done" | "full" | "away" | "failed" | "lost" | PutOnly;

/** What one pass has done and met so far. */
export interface Pass {
  done: number;
  /** Entries that Redis has now, on too few replicas. */
  put: number;
  failed: boolean;
  /** Nothing more goes in this pass, and all of it in the next. */
  again: boolean;
  /** Events of which something could not go. */
  keptBack: Set<string>;
  /** Partitions that are away, or answer with nothing but errors. */
  shut: Set<number>;
  /** Partitions that have no room for a post; a rollback may make some. */
  full: Set<number>;
  /** By partition: errors since it took something. */
  errors: Map<number, number>;
}

export function newPass(): Pass {
  return {
    done: 0,
    put: 0,
    failed: false,
    again: false,
    keptBack: new Set(),
    shut: new Set(),
    full: new Set(),
    errors: new Map(),
  };
}
