/*
 * The relay's faults are not the messages': when it is down, nothing is taken until it answers again.
 *   closed     mail flows
 *   open       nothing is taken; the relay is probed after 0, 0.5, 1, 2, … 30 s
 *   half open  a probe was fine: one message at a time, until one was really handed over
 */
import type { Logger } from "pino";

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;

export interface Circuit {
  /** How many of `free` slots may be filled now. */
  allowance(free: number, inFlight: number): number;
  /** The relay failed. */
  fault(reason: string): void;
  /** The relay answered for a message, well or badly. */
  answered(): void;
  stop(): void;
}

/**
 * @param probe what is wrong with the relay, or undefined
 * @param onReady called when messages may be taken again
 */
export function createCircuit(probe: () => Promise<string | undefined>, onReady: () => void, log: Logger): Circuit {
  let state: "closed" | "open" | "half open" = "closed";
  /** Since mail last flowed. */
  let probes = 0;
  let openedAt = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;

  function probeLater(): void {
    if (stopped) return;
    timer = setTimeout(() => void check(), backoffMs(probes));
    probes += 1;
  }

  async function check(): Promise<void> {
    const reason = await probe().catch((error: unknown) => `the probe failed: ${error}`);
    if (stopped) return;
    if (reason !== undefined) return probeLater();
    state = "half open";
    onReady();
  }

  return {
    allowance(free, inFlight) {
      if (state === "closed") return free;
      return state === "half open" && inFlight === 0 ? Math.min(free, 1) : 0;
    },
    fault(reason) {
      if (stopped || state === "open") return;
      if (probes === 0) {
        openedAt = performance.now();
        log.error({ reason }, "relay is away, the queue waits");
      }
      state = "open";
      probeLater();
    },
    answered() {
      if (state === "half open") {
        log.warn({ awayMs: Math.round(performance.now() - openedAt) }, "relay is back");
        state = "closed";
        probes = 0;
        onReady();
      }
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

/** The first probe comes at once: often only an idle connection had been closed. */
export function backoffMs(probes: number): number {
  return probes === 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (probes - 1), MAX_DELAY_MS);
}
