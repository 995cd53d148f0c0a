/*
 * The alert for the first of a kind, of dead letters or of payments without a mail: one POST, signed as Standard Webhooks.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * The log line and the metric do not depend on it: what cannot be delivered is said in the log and given up.
 */
import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { Webhook } from "standardwebhooks";
import type { Config } from "./config.ts";
import { parseSigningKey } from "./domain/signingKey.ts";
import { sleep, time, timeoutSignal } from "./domain/time.ts";
import { maskAddresses } from "./log.ts";

export interface AlertSettings {
  url: string;
  /** The HMAC key, as bytes. */
  key: Uint8Array;
  /** Addresses as they are, instead of masked as in the log. */
  plain: boolean;
  log: Logger;
  /** Before each further try, ms. */
  retryDelaysMs?: readonly number[];
}

const RETRY_DELAYS_MS = [1_000, 10_000, 60_000];
const TIMEOUT_MS = 10_000;

type AlertType = "dead_letter.new_kind" | "stripe_event.new_kind";

/** Undefined: nobody is to be told. */
export function openAlert({ ALERT_URL: url, ALERT_KEY: key, LOG_PII }: Config, log: Logger) {
  if (url === undefined || key === undefined) return undefined;
  return createAlert({ url, key: parseSigningKey(key), plain: LOG_PII === "plain", log });
}

/**
 * The returned function neither throws nor waits.
 * @example
 * const alert = createAlert({ url: "https://ops.example/hook", key: parseSigningKey("whsec_c2VjcmV0"), plain: false, log });
 * alert({ messageId, eventId: "evt_7Q2", fingerprint: "3f1c0d9a77be", reason: "550 5.1.1 no such user" });
 */
export function createAlert({ url, key, plain, log, retryDelaysMs = RETRY_DELAYS_MS }: AlertSettings) {
  const webhook = new Webhook(key, { format: "raw" });

  /** Why it was not taken; undefined when it was. */
  async function tried(id: string, body: string): Promise<string | undefined> {
    const at = new Date(time.epochMs());
    const headers = {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
      "webhook-signature": webhook.sign(id, at, body),
    };
    try {
      const signal = timeoutSignal(TIMEOUT_MS);
      const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
      await response.body?.cancel();
      return response.ok ? undefined : `it answered ${response.status}`;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async function deliver(type: AlertType, kind: { reason: string }): Promise<void> {
    const id = `alert_${randomUUID()}`;
    const data = plain ? kind : { ...kind, reason: maskAddresses(kind.reason) };
    const body = JSON.stringify({ type, timestamp: new Date(time.epochMs()).toISOString(), data });
    for (const delayMs of [...retryDelaysMs, undefined]) {
      const fault = await tried(id, body);
      if (fault === undefined) return;
      if (delayMs === undefined) log.error({ ...kind, reason: fault }, "alert not delivered");
      else await sleep(delayMs);
    }
  }

  return (kind: { reason: string }, type: AlertType = "dead_letter.new_kind"): void => void deliver(type, kind);
}
