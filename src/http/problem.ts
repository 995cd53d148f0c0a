/* Every refusal is a problem document (RFC 9457) of one of these kinds; `type` is stable, the prose is not. */
import type { Logger } from "pino";
import { RedisAway } from "../stream/fault.ts";
import { BadCursor, NotInRedisYet } from "../stream/store.ts";
import { PRIVATE } from "./answer.ts";

const KINDS = {
  "invalid-request": { status: 400, title: "The request cannot be read" },
  "invalid-event": { status: 400, title: "The event is not valid" },
  unauthorized: { status: 401, title: "Credentials are missing or wrong" },
  "not-found": { status: 404, title: "There is no such thing" },
  "method-not-allowed": { status: 405, title: "This route has no such method" },
  "not-dead": { status: 409, title: "The message is not a dead letter" },
  "rolled-back": { status: 409, title: "The event is cancelled" },
  "too-large": { status: 413, title: "The body is too large" },
  misdirected: { status: 421, title: "The Host is not one of this service's" },
  "unsupported-coding": { status: 415, title: "The body is compressed, or coded otherwise" },
  "id-reused": { status: 422, title: "The event's id was used for another event" },
  internal: { status: 500, title: "A bug in this service" },
  "backlog-full": { status: 503, title: "The backlog is at its limit" },
  unavailable: { status: 503, title: "Nothing can be stored or read at the moment" },
} as const;

type ProblemKind = keyof typeof KINDS;

export const PROBLEM_KINDS = Object.keys(KINDS) as ProblemKind[];

export const PROBLEM_TYPE = "application/problem+json";

const RETRY_AFTER_S = "2";

/** What is wrong with one field (a JSON Pointer, RFC 6901) or one query parameter. */
export type InputProblem = { pointer: string; detail: string } | { parameter: string; detail: string };

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: readonly InputProblem[];
}

export function problem(kind: ProblemKind, detail: string, errors?: readonly InputProblem[]): Problem {
  const { status, title } = KINDS[kind];
  const document = { type: typeOf(kind), title, status, detail };
  return errors === undefined ? document : { ...document, errors };
}

/** The URI that names the kind. */
export function typeOf(kind: ProblemKind): string {
  return `urn:postpaid:problem:${kind}`;
}

/** The document as a response, with the headers that its status asks for (RFC 9110 10.2.3, 11.6.1, 15.5.16). */
export function refuse(document: Problem, headers: Record<string, string> = {}): Response {
  const all: Record<string, string> = { "content-type": PROBLEM_TYPE, ...PRIVATE, ...headers };
  if (document.status === 503) all["retry-after"] = RETRY_AFTER_S;
  if (document.status === 401) all["www-authenticate"] = "Bearer";
  if (document.status === 415) all["accept-encoding"] = "identity";
  return new Response(JSON.stringify(document), { status: document.status, headers: all });
}

/**
 * What became of an exception. The store names those that a caller can do something about; anything
 * else is a bug by definition, and logged as one.
 */
export function problemOf(error: unknown, route: string, log: Logger): Problem {
  if (error instanceof RedisAway) return problem("unavailable", "Redis cannot be reached.");
  if (error instanceof NotInRedisYet)
    return problem("unavailable", "Some events are journaled, and are found when Redis has them.");
  if (error instanceof BadCursor) {
    const detail = "was not made by this service";
    return problem("invalid-request", "The cursor is not valid.", [{ parameter: "cursor", detail }]);
  }
  log.error({ err: error, route }, "request failed");
  return problem("internal", "The fault is logged; nothing in the request explains it.");
}
