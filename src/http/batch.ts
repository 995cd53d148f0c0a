/*
 * POST /v1/events/batch: up to 1000 events as a JSON array or NDJSON, told apart by the content type where it says
 * NDJSON, else by the first character. Each stands alone: a bad one is a problem in its place and stops no other. The
 * good ones are posted in one turn of the event loop, so that they share a script call.
 */
import type { Hono } from "hono";
import type { Logger } from "pino";
import type { Ingress } from "../domain/ingress.ts";
import type { Auth } from "./auth.ts";
import { decodeJson, type Read } from "./body.ts";
import { MAX_EVENT_BYTES, readPosted, type Taken, take } from "./events.ts";
import { type Problem, problem, problemOf, refuse } from "./problem.ts";

const MAX_BATCH_BYTES = 8 * 1024 * 1024;
export const MAX_BATCH_EVENTS = 1000;

const NDJSON = /^application\/(?:x-)?ndjson *(?:;|$)/i;

const ROUTE = "/v1/events/batch";

export function batchRoutes(app: Hono, auth: Auth, ingress: Ingress, log: Logger): void {
  app.post(ROUTE, async (c) => {
    const body = await readPosted(c, auth, MAX_BATCH_BYTES);
    if (!body.ok) return refuse(body.problem);
    const isArray = !NDJSON.test(c.req.header("content-type") ?? "") && /^\s*\[/.test(body.value);
    const inputs = isArray ? readArray(body.value) : readLines(body.value);
    if (!inputs.ok) return refuse(inputs.problem);
    if (inputs.value.length === 0) return refuse(problem("invalid-request", "The batch has no events."));

    const taken = await Promise.all(inputs.value.map((input) => takeAlone(input, ingress, log)));
    const results = taken.map((one) => (one.ok ? { status: 202, ...one.reply } : one.problem));
    const [first] = taken;
    if (first?.ok === false && results.every(({ status }) => status === 503)) return refuse(first.problem);
    return Response.json({ results }, { status: 202 });
  });
}

async function takeAlone(input: Read<unknown>, ingress: Ingress, log: Logger): Promise<Taken> {
  if (!input.ok) return input;
  try {
    return await take(input.value, ingress);
  } catch (error) {
    return { ok: false, problem: problemOf(error, ROUTE, log) };
  }
}

function readArray(text: string): Read<Read<unknown>[]> {
  const array = decodeJson(text);
  if (!array.ok) return array;
  const events = array.value as unknown[]; // JSON that begins with a bracket is an array
  if (events.length > MAX_BATCH_EVENTS) return { ok: false, problem: tooMany() };
  return { ok: true, value: events.map((event) => (fits(event) ? { ok: true, value: event } : tooLarge())) };
}

/** Measured as compact JSON. */
function fits(event: unknown): boolean {
  return Buffer.byteLength(JSON.stringify(event)) <= MAX_EVENT_BYTES;
}

/** Walks the lines without splitting: 8 MiB of newlines are no events, and make no array. */
function readLines(text: string): Read<Read<unknown>[]> {
  const events: Read<unknown>[] = [];
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf("\n", start);
    const end = newline === -1 ? text.length : newline;
    const line = text.slice(start, end).trim();
    start = end + 1;
    if (line === "") continue;
    if (events.length === MAX_BATCH_EVENTS) return { ok: false, problem: tooMany() };
    events.push(Buffer.byteLength(line) <= MAX_EVENT_BYTES ? decodeJson(line) : tooLarge());
  }
  return { ok: true, value: events };
}

function tooMany(): Problem {
  return problem("too-large", `A batch may have up to ${MAX_BATCH_EVENTS} events.`);
}

function tooLarge(): Read<never> {
  return { ok: false, problem: problem("too-large", `An event may have up to ${MAX_EVENT_BYTES} bytes.`) };
}
