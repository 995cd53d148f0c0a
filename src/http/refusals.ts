/*
 * What is refused at the door is counted, logged and slowed, per address.
 *   - Each refusal counts in `postpaid_http_refused_total`, by its reason.
 *   - The log has the first refusal of an address at once, then one line a minute for as long as there are more.
 *   - Whoever presents wrong credentials waits for the answer: after a burst, an address gets RATE_PER_S of them.
 * A good key never waits, whoever else guesses from the same address: the wait begins after the credentials were
 * checked. Nothing here is fatal.
 */
import type { Logger } from "pino";
import { every, time } from "../domain/time.ts";

/** `missing`: no credentials. `token`, `signature`: wrong ones. `host`: a Host that is not ours. */
export const REFUSAL_REASONS = ["missing", "token", "signature", "host"] as const;

export type RefusalReason = (typeof REFUSAL_REASONS)[number];

export interface Refusals {
  /**
   * Resolves when the refusal may be answered.
   * @param server Bun's, which knows the client's address; without one nothing is logged or slowed
   */
  refused(request: Request, server: unknown, reason: RefusalReason): Promise<void>;
}

/** A misconfigured producer, or a person who looks for the right key, is not slowed. */
const BURST = 50;
const RATE_PER_S = 10;
const LONGEST_WAIT_MS = 10_000;
const LOG_EVERY_MS = 60_000;
/** Each has a timer and a few numbers. What comes beyond shares one. */
const MAX_ADDRESSES = 10_000;

interface Standing {
  /** Refusals that the log has not told of. */
  untold: number;
  /** time.monotonicMs() at which all refusals so far would have been answered at RATE_PER_S. */
  paidAt: number;
}

/** @param count adds one to the metric */
export function createRefusals(log: Logger, count: (reason: RefusalReason) => void): Refusals {
  const standings = new Map<string, Standing>();

  function standingOf(address: string): Standing {
    const key = standings.has(address) || standings.size < MAX_ADDRESSES ? address : "others";
    const known = standings.get(key);
    if (known !== undefined) return known;
    const made = { untold: 0, paidAt: 0 };
    standings.set(key, made);
    const timer = every(LOG_EVERY_MS, () => {
      if (made.untold === 0) {
        timer.cancel();
        standings.delete(key);
      } else log.warn({ address: key, refused: made.untold }, "requests were refused in the last minute");
      made.untold = 0;
    });
    timer.unref();
    return made;
  }

  return {
    async refused(request, server, reason) {
      count(reason);
      const address = addressOf(request, server);
      if (address === undefined) return;
      const isNew = !standings.has(address);
      const standing = standingOf(address);
      if (isNew) log.warn({ address, reason, route: `${request.method} ${pathOf(request)}` }, "request refused");
      else standing.untold += 1;
      if (reason === "token" || reason === "signature") await turn(standing, request.signal);
    },
  };
}

function addressOf(request: Request, server: unknown): string | undefined {
  const { requestIP } = (server ?? {}) as { requestIP?: (request: Request) => { address: string } | null };
  const address = requestIP?.call(server, request)?.address;
  // Whoever has one IPv6 address has its whole /64.
  return address?.includes(":") && !address.startsWith("::ffff:") ? prefixOf(address) : address;
}

/** Without the query, which may hold anything. */
function pathOf(request: Request): string {
  return URL.parse(request.url)?.pathname.slice(0, 200) ?? "";
}

function prefixOf(address: string): string {
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const rest = tail === undefined || tail === "" ? [] : tail.split(":");
  const all = tail === undefined ? groups : [...groups, ...Array(8 - groups.length - rest.length).fill("0"), ...rest];
  return `${all.slice(0, 4).join(":")}::/64`;
}

/** The generic cell rate algorithm (ITU-T I.371): who has been quiet has BURST answers at once. */
async function turn(standing: Standing, gone: AbortSignal): Promise<void> {
  const now = time.monotonicMs();
  const toleranceMs = (BURST * 1_000) / RATE_PER_S;
  standing.paidAt = Math.min(Math.max(standing.paidAt, now) + 1_000 / RATE_PER_S, now + toleranceMs + LONGEST_WAIT_MS);
  const waitMs = standing.paidAt - toleranceMs - now;
  if (waitMs <= 0) return;
  await new Promise<void>((resolve) => {
    const timer = time.after(waitMs, resolve);
    gone.addEventListener("abort", () => {
      timer.cancel();
      resolve();
    });
  });
}
