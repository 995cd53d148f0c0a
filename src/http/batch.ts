/*
 * POST /v1/events/batch: up to 1000 events as a JSON array or NDJSON, told apart by the content type where it says
 * NDJSON, else by the first character. Each stands alone: a bad one is a problem in its place and stops no other. The
 * good ones are posted in one turn of the event loop, so that they share a script call.
 */
import type { Logger } from "pino";
import { z } from "zod";
import { EVENT_EXAMPLE } from "../domain/example.ts";
import type { Ingress } from "../domain/ingress.ts";
import { answer } from "./answer.ts";
import { decodeArray, decodeJson, decodeText, type Read, tooLarge } from "./body.ts";
import { event } from "./eventSchema.ts";
import { type Acceptance, accept, MAX_EVENT_BYTES } from "./events.ts";
import { problem, problemOf, refuse } from "./problem.ts";
import { type Route, route } from "./route.ts";
import { batchReply } from "./schemas.ts";

const MAX_BATCH_BYTES = 8 * 1024 * 1024;
const MAX_BATCH_EVENTS = 1000;

const NDJSON = /^application\/(?:x-)?ndjson *(?:;|$)/i;

const [TAB, LF, CR, SPACE, OPEN_BRACKET] = [9, 10, 13, 32, 91];

const ROUTE = "/v1/events/batch";

export function batchRoutes(ingress: Ingress, log: Logger): Route[] {
  return [
    route({
      method: "post",
      path: ROUTE,
      name: "postEvents",
      access: "producer",
      tag: "events",
      summary: `Post up to ${MAX_BATCH_EVENTS} events`,
      about: "A JSON array, or one event per line. Each stands alone: a bad one stops no other.",
      maxBytes: MAX_BATCH_BYTES,
      body: {
        schema: z.array(event).min(1).max(MAX_BATCH_EVENTS),
        example: [EVENT_EXAMPLE],
        required: true,
        also: {
          "application/x-ndjson": { schema: z.string(), example: `${JSON.stringify(EVENT_EXAMPLE)}\n` },
        },
      },
      answers: { 202: { about: "One result per event, in order, with its own `status`", schema: batchReply } },
      refuses: [503],
      async handle(c, { bytes }) {
        const inputs = readBatch(bytes, c.req.header("content-type") ?? "");
        if (!inputs.ok) return refuse(inputs.problem);
        const acceptances = await Promise.all(inputs.value.map((input) => acceptAlone(input, ingress, log)));
        const results = acceptances.map((one) => (one.ok ? { status: 202, ...one.reply } : one.problem));
        const [first] = acceptances;
        if (first?.ok === false && results.every(({ status }) => status === 503)) return refuse(first.problem);
        return answer({ results }, 202);
      },
    }),
  ];
}

function readBatch(bytes: Uint8Array, contentType: string): Read<Read<unknown>[]> {
  const isArray = !NDJSON.test(contentType) && beginsWithBracket(bytes);
  const inputs = isArray ? readArray(bytes) : readLines(bytes);
  if (!isArray && !beginsWithObject(inputs) && isOneValue(bytes)) {
    return unreadable("A batch is a JSON array, or NDJSON: one event, an object, per line.");
  }
  return inputs.ok && inputs.value.length === 0 ? unreadable("The batch has no events.") : inputs;
}

function unreadable(detail: string): Read<never> {
  return { ok: false, problem: problem("invalid-request", detail) };
}

async function acceptAlone(input: Read<unknown>, ingress: Ingress, log: Logger): Promise<Acceptance> {
  if (!input.ok) return input;
  try {
    return await accept(input.value, ingress);
  } catch (error) {
    return { ok: false, problem: problemOf(error, ROUTE, log) };
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === LF || byte === CR || byte === SPACE || byte === TAB;
}

const lenient = new TextDecoder();

function beginsWithBracket(bytes: Uint8Array): boolean {
  const bracket = bytes.indexOf(OPEN_BRACKET);
  return bracket !== -1 && lenient.decode(bytes.subarray(0, bracket)).trim() === "";
}

function readArray(bytes: Uint8Array): Read<Read<unknown>[]> {
  const text = decodeText(bytes);
  return text.ok ? decodeArray(text.value, MAX_BATCH_EVENTS, MAX_EVENT_BYTES) : text;
}

/** As nearly all batches do: they need no second look. */
function beginsWithObject(lines: Read<Read<unknown>[]>): boolean {
  const first = lines.ok ? lines.value[0] : undefined;
  return first?.ok === true && isObject(first.value);
}

/** One JSON value that is no event on a line of its own: somebody's pretty-printed event, say. */
function isOneValue(bytes: Uint8Array): boolean {
  const text = decodeText(bytes);
  const json = text.ok ? decodeJson(text.value) : text;
  return json.ok && text.ok && (!isObject(json.value) || text.value.trim().includes("\n"));
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Split at LF before it is decoded, so that a line of broken UTF-8 stands alone, too. Blank lines are passed over
 * byte by byte: 8 MiB of newlines are no events, and nothing is made of them.
 */
function readLines(bytes: Uint8Array): Read<Read<unknown>[]> {
  const events: Read<unknown>[] = [];
  for (let start = 0; start < bytes.length; ) {
    if (isSpace(bytes[start])) {
      start++;
      continue;
    }
    const newline = bytes.indexOf(LF, start);
    const end = newline === -1 ? bytes.length : newline;
    const line = decodeText(bytes.subarray(start, end), "line");
    start = end + 1;
    const text = line.ok ? line.value.trim() : undefined;
    if (text === "") continue;
    if (events.length === MAX_BATCH_EVENTS) {
      return { ok: false, problem: problem("too-large", `A batch may have up to ${MAX_BATCH_EVENTS} events.`) };
    }
    if (text === undefined) events.push(line);
    else if (Buffer.byteLength(text) > MAX_EVENT_BYTES) events.push(tooLarge(MAX_EVENT_BYTES, "line"));
    else events.push(decodeJson(text, "line"));
  }
  return { ok: true, value: events };
}
