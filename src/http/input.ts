/* Query strings and the small bodies of the admin routes, checked against a schema. */
import type { Context, MiddlewareHandler } from "hono";
import { z } from "zod";
import { pointerOf } from "../domain/pointer.ts";
import { decodeJson, decodeText, type Read, readBytes } from "./body.ts";
import { type InputProblem, problem, refuse } from "./problem.ts";

const MAX_BODY_BYTES = 65_536;

const DEFAULT_LIMIT = 50;

const limit = z
  .int("must be a whole number, in digits")
  .min(1, "must be at least 1")
  .max(200, "must be at most 200")
  .default(DEFAULT_LIMIT);

export const limitParameter = z.preprocess((given) => (/^\d{1,9}$/.test(String(given)) ? Number(given) : given), limit);

export function textParameter(maxLength: number) {
  return z.string().min(1, "must not be empty").max(maxLength, `must have at most ${maxLength} characters`);
}

export const cursorParameter = textParameter(512).exactOptional();

/**
 * The query string. A parameter that is unknown or given twice is more likely a mistake than meant; one that is set to
 * nothing, as a form sends it, is not given.
 */
export function readQuery<T extends z.ZodObject>(c: Context, schema: T): Read<z.output<T>> {
  const given = Object.entries(c.req.queries());
  const twice = given.filter(([, values]) => values.length > 1);
  if (twice.length > 0) {
    const errors = twice.map(([parameter]) => ({ parameter, detail: "is given more than once" }));
    return wrong("The query is not valid.", errors);
  }
  const isSet = ([name, [value]]: (typeof given)[number]) => value !== "" || !Object.hasOwn(schema.shape, name);
  const parsed = schema.safeParse(Object.fromEntries(given.filter(isSet).map(([name, [value]]) => [name, value])));
  if (parsed.success) return { ok: true, value: parsed.data };
  const errors = fieldsOf(parsed.error).map(([path, detail]) => ({ parameter: path.join("."), detail }));
  return wrong("The query is not valid.", errors);
}

/** For a route that changes something: whoever writes `?dryRun=true` must not get the real thing. */
export const noQuery: MiddlewareHandler = async (c, next) => {
  const query = readQuery(c, z.strictObject({}));
  return query.ok ? next() : refuse(query.problem);
};

/** The JSON body; none at all reads as `{}`. */
export async function readInput<T>(c: Context, schema: z.ZodType<T>): Promise<Read<T>> {
  const bytes = await readBytes(c.req.raw, MAX_BODY_BYTES);
  if (!bytes.ok) return bytes;
  const text = decodeText(bytes.value);
  if (!text.ok) return text;
  const json = decodeJson(text.value.trim() === "" ? "{}" : text.value);
  if (!json.ok) return json;
  const parsed = schema.safeParse(json.value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const errors = fieldsOf(parsed.error).map(([path, detail]) => ({ pointer: pointerOf(path), detail }));
  return wrong("The body is not valid.", errors);
}

function fieldsOf(error: z.ZodError): [path: string[], detail: string][] {
  return error.issues.flatMap((issue): [string[], string][] => {
    const path = issue.path.map(String);
    if (issue.code !== "unrecognized_keys") return [[path, issue.message]];
    return issue.keys.slice(0, 20).map((key) => [[...path, key], "is not known here"]);
  });
}

function wrong(detail: string, errors: InputProblem[]): Read<never> {
  return { ok: false, problem: problem("invalid-request", detail, errors) };
}
