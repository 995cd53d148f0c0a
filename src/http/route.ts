/*
 * A route is one row: method, path, access, what is sent, what is answered and refused, and the handler. From the row it
 * is registered, its access and its input are checked, and the OpenAPI document is made, so none of these can differ.
 *
 * The access of a row is checked before anything else. A producer vouches for the body: by its key, or by a signature
 * over the bytes, so there the body is read first. The payment path runs no middleware.
 */
import type { Context, Hono } from "hono";
import type { z } from "zod";
import { type Auth, requireAdmin, requireReader } from "./auth.ts";
import { noQuery, readInput, readQuery } from "./input.ts";
import { refuse } from "./problem.ts";
import { readVouched } from "./vouched.ts";

/** `stripe`: the handler checks the signature. `open`: whoever reaches the port. */
export type Access = "producer" | "reader" | "admin" | "stripe" | "open";

/** The chapters of the document. */
export const TAGS = {
  events: "What a producer posts, commits and rolls back",
  messages: "What became of an event",
  "dead letters": "What could not be delivered, until a person decides",
  queues: "What waits, and what happens now",
  health: "For the machines that watch",
} as const;

type Tag = keyof typeof TAGS;

export interface Answer {
  about: string;
  /** Undefined: no body. */
  schema?: z.ZodType;
  /** application/json where it is not given. */
  type?: string;
}

interface BodyDocument {
  schema: z.ZodType;
  example?: unknown;
  required?: boolean;
  /** Other media types, by name. */
  also?: Record<string, { schema: z.ZodType; example: unknown }>;
}

/** What the handler gets, after all checks. */
interface Input<Query, Json> {
  /** As `query` reads it. */
  query: Query;
  /** As `json` reads it. */
  json: Json;
  /** A producer's, vouched for. */
  bytes: Uint8Array;
}

interface Row<Query extends z.ZodObject, Json extends z.ZodType> {
  method: "get" | "post" | "delete";
  /** As Hono writes it: `/v1/messages/:id`. */
  path: string;
  /** The operationId: a verb and its object. The audit calls by it what the route changes. */
  name: string;
  access: Access;
  tag: Tag;
  summary: string;
  about?: string;
  params?: z.ZodObject;
  headers?: z.ZodObject;
  /** Without it, a query is refused where the route changes something: `?dryRun=true` must not do the real thing. */
  query?: Query;
  /** Read and checked here. */
  json?: Json;
  /** Of a producer's body. */
  maxBytes?: number;
  /** The body in the document, where it is more than `json`. */
  body?: BodyDocument;
  answers: Readonly<Record<number, Answer>>;
  /** Statuses that only the handler refuses with. Those that access and input bring are known. */
  refuses: readonly RefusalStatus[];
  handle(c: Context, input: Input<z.output<Query>, z.output<Json>>): Response | Promise<Response>;
}

/** Statuses of refusals, with what they mean in the document. */
export const REFUSALS = {
  400: "Not readable or not valid; `errors` points at each bad field",
  401: "Credentials are missing or wrong",
  404: "No such thing",
  409: "Its state does not allow that",
  413: "Too large",
  415: "Compressed, or coded otherwise",
  421: "The Host is neither HOST, nor loopback, nor in PUBLIC_HOSTS",
  422: "The event's id was used for another event, which has it still",
  503: "Nothing was done, as far as is known; the same request again is safe",
} as const;

export type RefusalStatus = keyof typeof REFUSALS;

export type Route = Row<z.ZodObject, z.ZodType>;

/** A row with its input's types. @example route({ method: "get", path: "/v1/queues", name: "getQueues", … }) */
export function route<Query extends z.ZodObject = z.ZodObject, Json extends z.ZodType = z.ZodType>(
  row: Row<Query, Json>,
): Route {
  return row as unknown as Route;
}

/** All statuses that the route refuses with. */
export function refusalsOf({ access, method, query, json, refuses }: Route): RefusalStatus[] {
  const statuses = new Set<RefusalStatus>([...refuses, 421]);
  if (access === "producer" || access === "reader" || access === "admin") statuses.add(401);
  if (access === "producer" || json !== undefined) for (const status of [400, 413, 415] as const) statuses.add(status);
  if (query !== undefined || (access === "admin" && method !== "get")) statuses.add(400);
  return [...statuses].sort();
}

export function register(app: Hono, route: Route, auth: Auth): void {
  const { method, path, access } = route;
  if (access === "producer") {
    app[method](path, (c) => handleVouched(c, route, auth));
    return;
  }
  if (access === "reader") app.on(method, path, requireReader(auth));
  if (access === "admin") app.on(method, path, requireAdmin(auth));
  if (access === "admin" && method !== "get" && route.query === undefined) app.on(method, path, noQuery);
  app[method](path, (c) => handleRead(c, route));
}

async function handleVouched(c: Context, { maxBytes, handle }: Route, auth: Auth): Promise<Response> {
  const body = await readVouched(c, auth, maxBytes ?? 0);
  return body.ok ? handle(c, { query: {}, json: undefined, bytes: body.value }) : refuse(body.problem);
}

const NO_BYTES = new Uint8Array();

async function handleRead(c: Context, route: Route): Promise<Response> {
  const query = route.query === undefined ? undefined : readQuery(c, route.query);
  if (query?.ok === false) return refuse(query.problem);
  const json = route.json === undefined ? undefined : await readInput(c, route.json);
  if (json?.ok === false) return refuse(json.problem);
  return route.handle(c, { query: query?.value ?? {}, json: json?.value, bytes: NO_BYTES });
}
