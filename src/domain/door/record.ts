/* Objects of an event: known fields in their normal form, in a fixed order; all others as they came, for templates. */
import { z } from "zod";
import { type Field, isAbsent, isObject, leaveOut, type Say } from "./field.ts";
import { nearMiss } from "./nearMiss.ts";

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** Objects and arrays in each other: what templates, scripts and hashes walk through is no deeper. */
const MAX_DEPTH = 32;

/** @param depth of `given` itself; the event's is 1 */
export function readRecord(
  given: Record<string, unknown>,
  fields: Fields,
  say: Say,
  depth: number,
): Record<string, unknown> {
  const record: Record<string, unknown> = {};
  for (const name of Object.keys(fields)) {
    const value = fields[name]?.read(Object.hasOwn(given, name) ? given[name] : undefined, say.at(name));
    if (value !== undefined) record[name] = value;
  }
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(fields, name) || given[name] === undefined) continue;
    if (name === "__proto__") {
      say.at(name).note("left out: no field may have this name");
      continue;
    }
    const meant = nearMiss(name, Object.keys(fields));
    if (meant !== undefined) say.at(name).note(`kept as it is: ${meant} may be meant`);
    record[name] = withoutDepth(given[name], MAX_DEPTH - depth, say.at(name));
  }
  return record;
}

/** A record that a mail can do without. */
export function optionalRecord(fields: Fields, depth: number, about: string): Field<Record<string, unknown>> {
  return {
    schema: looseSchema(fields).meta({ description: about }),
    read(given, say) {
      if (isAbsent(given)) return undefined;
      return isObject(given) ? readRecord(given, fields, say, depth) : leaveOut(say, given, "is no object");
    },
  };
}

/** A record with something in it that every mail needs. */
export function requiredRecord(
  fields: Fields,
  required: readonly string[],
  depth: number,
): Field<Record<string, unknown>> {
  return {
    schema: looseSchema(fields, required),
    read(given, say) {
      if (isObject(given)) return readRecord(given, fields, say, depth);
      say.refuse(
        `${given === undefined || given === null ? "is missing" : "is no object"}: must have ${required.join(" and ")}`,
      );
      return undefined;
    },
  };
}

export function looseSchema(fields: Fields, required: readonly string[] = []): z.ZodObject {
  const shape = Object.entries(fields).map(([name, { schema }]) => [
    name,
    required.includes(name) ? schema : schema.nullish(),
  ]);
  return z.looseObject(Object.fromEntries(shape));
}

function isTooDeep(value: unknown, levels = MAX_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels <= 0 || Object.values(value).some((inner) => isTooDeep(inner, levels - 1));
}

/** The value itself, mostly. */
function withoutDepth(value: unknown, levels: number, say: Say): unknown {
  if (!isTooDeep(value, levels)) return value;
  if (levels <= 0) {
    say.note(`left out: it is nested more than ${MAX_DEPTH} levels deep`);
    return null;
  }
  if (Array.isArray(value)) return value.map((inner, i) => withoutDepth(inner, levels - 1, say.at(i)));
  const entries = Object.entries(value as object);
  return Object.fromEntries(entries.map(([name, inner]) => [name, withoutDepth(inner, levels - 1, say.at(name))]));
}
