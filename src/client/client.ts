/*
 * What a producer imports. It needs fetch, WebCrypto and timers, so it runs on Bun, Deno, Node 20 and workers,
 * and it brings no dependency along.
 */
import { PostpaidError } from "./errors.ts";
import { type Event, headerForm, isEventId, type PaymentCompleted, type PaymentRefunded } from "./event.ts";
import type { Accepted, Committed, Message, RolledBack } from "./reply.ts";
import { type Call, request, type Transport } from "./request.ts";
import { createSigner } from "./sign.ts";
import { type Undecided, type WithMailOptions, withMail } from "./withMail.ts";

export { type ErrorKind, type FieldProblem, PostpaidError } from "./errors.ts";
export type { Event, EventOptions, PaymentCompleted, PaymentData, PaymentRefunded } from "./event.ts";
export type { Accepted, Committed, Message, RolledBack } from "./reply.ts";
export type { Undecided, WithMailOptions } from "./withMail.ts";

export interface ClientOptions {
  /** Of the service, such as "http://127.0.0.1:3000"; a path is kept. */
  url: string;
  /** One of its INGEST_KEYS. */
  key: string;
  /** For one try, ms; 2,000 by default. */
  timeoutMs?: number;
  /** For all tries of one call, ms; 10,000 by default. So long `withMail` waits, at worst, after the transaction. */
  deadlineMs?: number;
  /** Told what `withMail` could not finish; a line of console.warn by default. */
  onUndecided?: (undecided: Undecided) => void | Promise<void>;
  fetch?: typeof globalThis.fetch;
  /** Epoch ms; Date.now by default. */
  now?: () => number;
  /** From 0 to under 1; Math.random by default. */
  random?: () => number;
}

/** An event that waits for one of the two. Both may be called again, also by another process: see `Client.commit`. */
export interface Held extends Accepted {
  commit(): Promise<Committed>;
  rollback(): Promise<RolledBack>;
}

/** Every method throws a PostpaidError, tries again until `deadlineMs` has passed, and may be called again safely. */
export interface Client {
  /** Posts a payment.completed: the customer gets the mail, after the service's default delay of 10 s. */
  paymentCompleted(event: Omit<PaymentCompleted, "type">): Promise<Accepted>;
  /** Posts a payment.refunded. */
  paymentRefunded(event: Omit<PaymentRefunded, "type">): Promise<Accepted>;
  post(event: Event): Promise<Accepted>;
  /**
   * Posts an event that waits for `commit` or `rollback`. When neither comes, the service asks its booking
   * store; what that cannot say either is put in front of a person.
   * @example
   * const held = await client.hold(event);
   * await db.transaction(pay);
   * await held.commit();
   */
  hold(event: Event): Promise<Held>;
  /** The transaction has committed: the mail may leave. `not_found` and `conflict` (rolled back before) are errors. */
  commit(eventId: string): Promise<Committed>;
  /** The transaction has failed. Wins over the event also when it comes first; the answer is definitive. */
  rollback(eventId: string): Promise<RolledBack>;
  /**
   * Runs a transaction between hold and commit, and returns its result; or between hold and rollback, and throws
   * its error again. No failure of mail reaches the caller:
   * - When the hold fails, after 2 s at most (`holdDeadlineMs`), the transaction runs all the same, and the event is
   *   posted, not held, once it has committed. `proceedWithoutMail: false` throws instead, and runs nothing.
   * - When the commit fails, the result is returned all the same; the service asks its booking store.
   * - When the rollback fails, the transaction's error is thrown, with the other as its `suppressed`.
   *
   * Each of these that leaves a doubt goes to `onUndecided`.
   *
   * The event's id has to be of this attempt to pay: a rollback is final for an id. An attempt that broke off
   * (the process died) leaves an event that the check-back decides by the state of the *booking*. So before a
   * new attempt for the same booking, call `rollback` with the id of the one before: else both may send a mail.
   * @example
   * const receipt = await client.withMail(event, () => db.transaction(pay));
   */
  withMail<T>(event: Event, transaction: () => T | Promise<T>, options?: WithMailOptions): Promise<T>;
  /** What became of an event; undefined when the service does not know it. */
  message(eventId: string): Promise<Message | undefined>;
}

/**
 * A client that signs each request with Standard Webhooks headers, and repeats what failed in passing:
 * exponential back-off with full jitter, Retry-After kept (RFC 9110 10.2.3), an overall deadline.
 * @throws TypeError for a URL that is not http(s), or a key that cannot sign
 * @example
 * import { createClient } from "postpaid/client";
 *
 * const postpaid = createClient({ url: "http://127.0.0.1:3000", key: POSTPAID_KEY });
 * const { id, durability } = await postpaid.paymentCompleted({
 *   id: "evt_pay_88",
 *   data: {
 *     booking: { id: "BK-1042", title: "Hà Nội → Sa Pa, sleeper bus" },
 *     payment: { id: "pay_88", amount: 450_000, currency: "VND" }, // minor units
 *     customer: { email: "an@example.com", name: "Nguyễn Văn An", locale: "vi" },
 *   },
 * });
 */
export function createClient(options: ClientOptions): Client {
  const { key, timeoutMs = 2_000, deadlineMs = 10_000, fetch = globalThis.fetch, now = Date.now } = options;
  const transport: Transport = {
    url: baseOf(options.url),
    timeoutMs,
    fetch,
    now,
    random: options.random ?? Math.random,
  };
  const signer = createSigner(key, now);

  const signed = (path: string, id: string, body: Uint8Array<ArrayBuffer>, withinMs: number): Call => ({
    method: "POST",
    path,
    body,
    headers: async () => ({ ...(await signer.headersFor(id, body)), "content-type": "application/json" }),
    deadlineMs: withinMs,
  });

  async function post(event: Event, withinMs = deadlineMs): Promise<Accepted> {
    const call = signed("v1/events", headerForm(checked(event?.id)), bytesOf(event), withinMs);
    return (await request(call, transport)) as Accepted;
  }

  /** The signed id names the decision, too, since a path is not signed. */
  async function decide(eventId: string, decision: "commit" | "rollback", withinMs: number): Promise<unknown> {
    const path = `v1/events/${encodeURIComponent(checked(eventId))}/${decision}`;
    return request(signed(path, `${headerForm(eventId)}/${decision}`, new Uint8Array(), withinMs), transport);
  }

  async function hold(event: Event, withinMs = deadlineMs): Promise<Held> {
    const accepted = await post({ ...event, options: { ...event.options, hold: true } }, withinMs);
    return { ...accepted, commit: () => commit(event.id), rollback: () => rollback(event.id) };
  }

  async function commit(eventId: string): Promise<Committed> {
    return (await decide(eventId, "commit", deadlineMs)) as Committed;
  }

  async function rollback(eventId: string, withinMs = deadlineMs): Promise<RolledBack> {
    return (await decide(eventId, "rollback", withinMs)) as RolledBack;
  }

  async function message(eventId: string): Promise<Message | undefined> {
    const path = `v1/events/${encodeURIComponent(checked(eventId))}`;
    const headers = async () => ({ authorization: `Bearer ${key}` });
    try {
      return (await request({ method: "GET", path, headers, deadlineMs }, transport)) as Message;
    } catch (error) {
      if (error instanceof PostpaidError && error.kind === "not_found") return undefined;
      throw error;
    }
  }

  const { onUndecided = warn } = options;
  return {
    paymentCompleted: (event) => post({ ...event, type: "payment.completed" }),
    paymentRefunded: (event) => post({ ...event, type: "payment.refunded" }),
    post: (event) => post(event),
    hold: (event) => hold(event),
    commit,
    rollback: (eventId) => rollback(eventId),
    withMail: (event, transaction, chosen) =>
      withMail({ hold, post, commit, rollback, onUndecided }, event, transaction, chosen),
    message,
  };
}

function baseOf(url: string): string {
  const { protocol, origin, pathname } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") throw new TypeError(`url is not http or https: ${protocol}`);
  return origin + pathname.replace(/\/*$/, "/");
}

function checked(id: unknown): string {
  if (isEventId(id)) return id;
  const problem = { pointer: "/id", detail: "must be printable text of 1 to 200 characters, and not . or .." };
  throw new PostpaidError("invalid", `The event's id ${problem.detail}`, { cause: id, tries: 0, problems: [problem] });
}

function bytesOf(event: Event): Uint8Array<ArrayBuffer> {
  try {
    return new TextEncoder().encode(JSON.stringify(event));
  } catch (cause) {
    throw new PostpaidError("invalid", "The event cannot be written as JSON", { cause, tries: 0 });
  }
}

function warn({ event, step, transaction, error }: Undecided): void {
  const why = error instanceof Error ? error.message : String(error);
  console.warn(`postpaid: ${step} of ${event.id} failed, the transaction is ${transaction}: ${why}`);
}
