/*
 * What a failed attempt means, decided once, from data. A failure of the relay is not the message's
 * fault: it spends no attempt and does not come here (worker/relayBreaker.ts).
 */
import { createHash } from "node:crypto";

/** Why an attempt failed, classified at the SMTP edge. */
export interface Failure {
  kind: "permanent" | "transient" | "ambiguous";
  /** One line: the relay's reply, or what took its place. */
  reason: string;
}

/** What becomes of the message after an attempt. */
export type Outcome =
  | { kind: "sent"; reply: string }
  | { kind: "deferred"; delayMs: number; reason: string }
  /** `how` unknown: the relay may have the mail, and no retries are left. */
  | { kind: "dead"; reason: string; how?: "unknown" }
  /** The relay may have the mail. `resendDelayMs` undefined: it waits for a person. */
  | { kind: "unknown"; reason: string; resendDelayMs: number | undefined };

/** What a worker writes about a message that it has taken: the ways out of SENDING (stream/settle.ts). */
export type Settlement =
  | Outcome
  /** Not tried, no attempt is spent. */
  | { kind: "released"; reason: string }
  /** The booking is not paid yet, or nobody can say. `counts`: the store gave an answer. No attempt is spent. */
  | { kind: "postponed"; delayMs: number; counts: boolean; reason: string }
  /** The booking does not stand. */
  | { kind: "cancelled"; reason: string }
  /** There is no mail to send: no attempt was made. */
  | { kind: "dead"; how: "untried"; reason: string };

export interface RetryPolicy {
  maxRetries: number;
  /** Delay before retry 1, 2, …; the last one repeats. */
  retryDelaysMs: readonly number[];
  onUnknown: "resend" | "hold";
}

/** The share of a delay that jitter may add: it only ever adds. */
const JITTER = 0.1;

/** Delay before retry number `retry` (from 1), with `random` in [0, 1) as its jitter. */
export function retryDelayMs(retry: number, policy: RetryPolicy, random: number): number {
  const base = policy.retryDelaysMs[Math.min(retry, policy.retryDelaysMs.length) - 1] ?? 0;
  return Math.round(base * (1 + JITTER * random));
}

/**
 * @param attempt number of this attempt since the post or the last replay, from 1
 * @example decide(11, { kind: "transient", reason: "451 busy" }, policy, 0).kind // "dead" with 10 retries
 */
export function decide(attempt: number, failure: Failure, policy: RetryPolicy, random: number): Outcome {
  const spent = attempt > policy.maxRetries;
  switch (failure.kind) {
    case "permanent":
      return { kind: "dead", reason: failure.reason };
    case "transient":
      if (spent) return { kind: "dead", reason: failure.reason };
      return { kind: "deferred", delayMs: retryDelayMs(attempt, policy, random), reason: failure.reason };
    case "ambiguous":
      if (policy.onUnknown === "hold") return { kind: "unknown", reason: failure.reason, resendDelayMs: undefined };
      if (spent) return { kind: "dead", reason: failure.reason, how: "unknown" };
      return { kind: "unknown", reason: failure.reason, resendDelayMs: retryDelayMs(attempt, policy, random) };
  }
}

/** Dead letters with the same cause share it: ids, addresses and numbers that vary are taken out, the codes stay. */
export function fingerprint(reason: string): string {
  let replyCodeSeen = false;
  const cause = reason
    .toLowerCase()
    .replace(/<?[^\s<>@]+@[^\s<>@]+>?/g, "@")
    .replace(/\b\d{1,3}(?:\.\d{1,3}){3}\b/g, "#") // IPv4
    .replace(/\b(?=[a-z0-9_-]*\d)[a-z0-9_-]{6,}\b/g, "#")
    .replace(/[245]\.\d{1,3}\.\d{1,3}|\d+/g, (number) => {
      if (number.includes(".")) return number; // an enhanced status code, RFC 3463
      const isReplyCode = !replyCodeSeen && /^[245]\d\d$/.test(number);
      if (isReplyCode) replyCodeSeen = true;
      return isReplyCode ? number : "#";
    })
    .replace(/\s+/g, " ")
    .trim();
  return createHash("sha256").update(cause).digest("hex").slice(0, 12);
}
