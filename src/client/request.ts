/*
 * One call is as many tries as its deadline has room for, each with the same id and the same bytes, so that
 * the service tells a repetition from a new event. Tried again: network errors, tries that ran out of time,
 * 429 and 5xx. Anything else is an answer. No try is begun that the deadline has no room for: what Retry-After
 * asks for is kept, or the call ends at once, with what is known.
 */
import { parseRetryAfter, waitMs } from "./backoff.ts";
import { errorOf, isTransient, PostpaidError } from "./errors.ts";

/** Less is no room: the try would end as "no answer", and hide the answer before it. */
const LEAST_TRY_MS = 50;

export interface Call {
  method: "GET" | "POST";
  /** Below the service's URL, without a slash at the front. */
  path: string;
  body?: Uint8Array<ArrayBuffer>;
  /** Made anew for each try: a signature has the time in it. */
  headers: () => Promise<Record<string, string>>;
  /** For all tries together, ms. */
  deadlineMs: number;
}

export interface Transport {
  /** Ends in a slash. */
  url: string;
  /** For one try, ms. */
  timeoutMs: number;
  fetch: typeof globalThis.fetch;
  /** Epoch ms. Durations are measured by the monotonic clock. */
  now: () => number;
  /** From 0 to under 1. */
  random: () => number;
}

interface Answered {
  kind: "answered";
  status: number;
  body: unknown;
  retryAfterMs: number | undefined;
}

type Try = Answered | { kind: "timed_out" | "failed"; cause: unknown };

/** The decoded body of a 2xx, which has an id whatever was asked. @throws PostpaidError */
export async function request(call: Call, transport: Transport): Promise<unknown> {
  const endsAt = performance.now() + call.deadlineMs;
  for (let tries = 1; ; tries++) {
    const timeoutMs = Math.min(transport.timeoutMs, endsAt - performance.now());
    const made = await tryOnce(call, transport, timeoutMs);
    if (made.kind === "answered" && !isTransient(made.status)) {
      if (made.status >= 200 && made.status < 300 && isReply(made.body)) return made.body;
      throw errorOf(made.status, made.body, tries);
    }
    const retryAfterMs = made.kind === "answered" ? made.retryAfterMs : undefined;
    const pauseMs = waitMs(tries, retryAfterMs, transport.random());
    if (performance.now() + pauseMs + LEAST_TRY_MS > endsAt) throw exhausted(made, tries, call.deadlineMs);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

async function tryOnce(call: Call, transport: Transport, timeoutMs: number): Promise<Try> {
  const headers = await call.headers();
  // Node takes whole milliseconds only. The signal ends the reading of the body, too.
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
  const { fetch } = transport;
  try {
    const response = await fetch(transport.url + call.path, {
      method: call.method,
      headers,
      ...(call.body && { body: call.body }),
      redirect: "manual", // followed, a POST would arrive as a GET
      signal,
    });
    const text = await response.text();
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), transport.now());
    return { kind: "answered", status: response.status, body: decoded(text), retryAfterMs };
  } catch (cause) {
    return { kind: signal.aborted ? "timed_out" : "failed", cause };
  }
}

function isReply(body: unknown): boolean {
  return typeof body === "object" && body !== null && "id" in body;
}

function decoded(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function exhausted(last: Try, tries: number, deadlineMs: number): PostpaidError {
  if (last.kind === "answered") return errorOf(last.status, last.body, tries, last.retryAfterMs);
  const { cause } = last;
  if (last.kind === "failed") {
    return new PostpaidError("unavailable", "The service cannot be reached", { cause, tries });
  }
  return new PostpaidError("deadline", `The service did not answer within ${deadlineMs} ms`, { cause, tries });
}
