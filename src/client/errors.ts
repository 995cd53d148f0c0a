/* Why a call failed: one class, told apart by `kind`, made in one place from what the service answered. */

/**
 * - `invalid` (400): the event or the request is wrong; `problems` has each bad field. Never tried again.
 * - `unauthorized` (401; 403 from a proxy): the key is wrong or opens other routes.
 * - `not_found` (404): a commit of an event that the service does not have.
 * - `conflict` (409, 422): the event was rolled back before; or its id was used for another body.
 * - `too_large` (413): the event has more than 64 KiB.
 * - `unavailable`: the last try ended in a network error, 429 or 5xx, and the deadline has no room for another.
 * - `deadline`: the last try was still unanswered when its time was up.
 * - `unexpected`: an answer that the service does not give, a redirect among them: is the URL right?
 *
 * After `unavailable` and `deadline` the service may have the event all the same. The same call again is safe.
 */
export type ErrorKind =
  | "invalid"
  | "unauthorized"
  | "not_found"
  | "conflict"
  | "too_large"
  | "unavailable"
  | "deadline"
  | "unexpected";

/** One bad field; `pointer` is its JSON Pointer (RFC 6901), "" being the whole body. */
export interface FieldProblem {
  pointer: string;
  detail: string;
}

interface Details {
  cause: unknown;
  tries: number;
  status?: number | undefined;
  problems?: readonly FieldProblem[];
  retryAfterMs?: number | undefined;
}

/**
 * What every method of the client throws. The message names fields, never their values, so it may be logged;
 * `cause` has all of it: the problem document (RFC 9457) that was answered, or the error of the network.
 * @example
 * catch (error) {
 *   if (error instanceof PostpaidError && error.kind === "invalid") log(error.problems);
 * }
 */
export class PostpaidError extends Error {
  override name = "PostpaidError";
  readonly kind: ErrorKind;
  /** HTTP status of the last answer, if there was one. */
  readonly status: number | undefined;
  readonly problems: readonly FieldProblem[];
  /** Requests made; 0 when the event was refused before the first. */
  readonly tries: number;
  /** What the last answer's Retry-After asked for, ms. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: ErrorKind, message: string, details: Details) {
    super(message, { cause: details.cause });
    this.kind = kind;
    this.status = details.status;
    this.problems = details.problems ?? [];
    this.tries = details.tries;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** Whoever answers so: a proxy refuses credentials and large bodies, too. */
const ANYBODYS: Readonly<Record<number, ErrorKind>> = { 401: "unauthorized", 403: "unauthorized", 413: "too_large" };

/** Only with a problem document: a proxy's 404 says nothing about the event. */
const THE_SERVICES: Readonly<Record<number, ErrorKind>> = {
  400: "invalid",
  404: "not_found",
  409: "conflict",
  422: "conflict",
};

/** For an answer that is not a success. `body` is decoded JSON, or text that is none. */
export function errorOf(status: number, body: unknown, tries: number, retryAfterMs?: number): PostpaidError {
  const { title, detail, errors } = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const isProblem = typeof title === "string" && typeof detail === "string";
  const known = ANYBODYS[status] ?? (isProblem ? THE_SERVICES[status] : undefined);
  const problems = Array.isArray(errors) ? errors.filter(isFieldProblem) : [];
  const kind = isTransient(status) ? "unavailable" : (known ?? "unexpected");
  const fields = problems.map(({ pointer }) => pointer || "the whole body").join(", ");
  const said = isProblem ? `: ${title}` : "";
  const message = `The service answered ${status}${said}${fields && ` (${fields})`}`;
  return new PostpaidError(kind, message, { cause: body, tries, status, problems, retryAfterMs });
}

export function isTransient(status: number): boolean {
  return status === 429 || status >= 500;
}

function isFieldProblem(value: unknown): value is FieldProblem {
  const { pointer, detail } = (value ?? {}) as Record<string, unknown>;
  return typeof pointer === "string" && typeof detail === "string";
}
