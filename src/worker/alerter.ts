import type { Redis } from "ioredis";
import type { Logger } from "pino";
import type { Partitions } from "../stream/layout.ts";
import { type NewKind, tellNewKinds } from "../stream/newKinds.ts";
import { type Loop, startLoop } from "./loop.ts";

/** The worker's own dead letters wake the alerter. This is for those that a lost worker, or a strange entry, leaves. */
const ALERT_POLL_MS = 2_000;

/** Says of each kind of dead letters, and of held UNKNOWNs, that it is there: once. */
export function startAlerter(
  redis: Redis,
  partitions: Partitions,
  log: Logger,
  alert: ((kind: NewKind) => void) | undefined,
): Loop {
  return startLoop("alerter", log, async () => {
    await tellNewKinds(redis, partitions, (kind) => {
      log.error(kind, "dead letter of a new kind");
      alert?.(kind);
    });
    return ALERT_POLL_MS;
  });
}
