/*
 * What of the journal Redis has already, on too few replicas (MIN_REPLICAS). It stays in the journal until they have it,
 * and goes to Redis all the same, so that its mail goes out; once, not with each pass: of each partition the first such
 * entry is put again, to find out. Where anything says that Redis may have lost some of it, all goes there again.
 */
import type { KeptEntry } from "./entry.ts";

export interface Put {
  /** Of each partition the first entry that was put. */
  probes(): KeptEntry[];
  /** Position: what the journal has up to here, Redis has. */
  upTo(): number;
  /** False: over another connection than before, so that Redis may be another one. */
  add(partition: number, entry: KeptEntry, connection: number): boolean;
  /** A pass has put all that there was up to this position. */
  passed(position: number): void;
  forget(): void;
}

export function createPut(): Put {
  const first = new Map<number, { entry: KeptEntry; connection: number }>();
  let upTo = 0;
  return {
    probes: () => [...first.values()].map(({ entry }) => entry),
    upTo: () => upTo,
    add(partition, entry, connection) {
      const known = first.get(partition);
      if (known === undefined) first.set(partition, { entry, connection });
      return known === undefined || known.connection === connection;
    },
    passed(position) {
      if (first.size > 0) upTo = position;
    },
    forget() {
      first.clear();
      upTo = 0;
    },
  };
}
