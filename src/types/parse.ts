/*
 * What becomes of an event at the door: one normal form, whatever spelling it came in. HTTP, batch, journal and Stripe
 * alike go through parseEvent.
 *
 * Refused is only what no mail can be made of: no type, no id, no usable address, an amount that is not an integer in
 * the minor unit. All else is brought into its form, or left out, and said in `notes`: somebody has paid.
 */
import { z } from "zod";
import { isObject, type Say, show } from "../domain/door/field.ts";
import { eventId } from "../domain/door/identifier.ts";
import { instant } from "../domain/door/instant.ts";
import { compareWithTotal } from "../domain/door/items.ts";
import { createFindings, type Note } from "../domain/door/notes.ts";
import { noteUnknown, optionsSchema, readOptions } from "../domain/door/options.ts";
import { looseSchema, readRecord } from "../domain/door/record.ts";
import type { Event, EventData } from "../domain/event.ts";
import type { EventType } from "./eventType.ts";
import { EVENT_TYPES, type EventTypes } from "./eventTypes.ts";
import { DEPTH, PAID } from "./records.ts";

const occurredAt = instant("When it was paid.");

/** For the document of the API. */
export function schemaOf({ name, data, required }: EventType): z.ZodObject {
  return z.object({
    id: eventId.schema,
    type: z.literal(name),
    occurredAt: occurredAt.schema.nullish(),
    data: looseSchema(data, required),
    options: optionsSchema.nullish(),
  });
}

const TOP = ["id", "type", "occurredAt", "data", "options"];

type ParsedEvent = { ok: true; event: Event } | { ok: false; problems: Note[] };

/**
 * The normal form of a decoded body, or all that makes a mail impossible. The normal form's own is the same.
 * @example parseEvent({ id: "evt_1", type: "nope" }) // { ok: false, problems: [{ pointer: "/type", … }, { pointer: "/data", … }] }
 */
export function parseEvent(input: unknown, types: EventTypes = EVENT_TYPES): ParsedEvent {
  if (!isObject(input)) return { ok: false, problems: [{ pointer: "", detail: "must be a JSON object" }] };
  const { say, notes, problems } = createFindings();
  const given = ownFieldsOf(input);
  const type = typeof given["type"] === "string" ? types.get(given["type"]) : undefined;
  if (type === undefined) {
    say.at("type").refuse(`is ${show(given["type"])}, must be one of: ${[...types.keys()].join(", ")}`);
  }
  const event: Record<string, unknown> = {
    id: eventId.read(given["id"], say.at("id")),
    type: given["type"],
    ...set("occurredAt", occurredAt.read(given["occurredAt"], say.at("occurredAt"))),
    data: readData(given["data"], type ?? PAID, say.at("data")),
    ...set("options", readOptions(given, say)),
  };
  for (const name of Object.keys(input)) if (!TOP.includes(name)) noteUnknown(name, TOP, say);
  if (problems.length > 0) return { ok: false, problems };
  const said = notes();
  if (said.length > 0) event["notes"] = said;
  return { ok: true, event: event as unknown as Event };
}

function readData(
  given: unknown,
  { data: fields, required }: Pick<EventType, "data" | "required">,
  say: Say,
): Record<string, unknown> | undefined {
  if (!isObject(given)) {
    say.refuse(`is ${show(given)}: must be an object with ${required.join(" and ")}`);
    return undefined;
  }
  const data = readRecord(given, fields, say, DEPTH - 1);
  const { booking, payment } = data as unknown as Partial<EventData>;
  if (fields.payment !== undefined) compareWithTotal(booking?.items, payment?.amount, say.at("booking").at("items"));
  return data;
}

/** What the body says itself: an object has more than its own fields. */
function ownFieldsOf(input: Record<string, unknown>): Record<string, unknown> {
  return Object.assign(Object.create(null), input) as Record<string, unknown>;
}

/** A field, or none at all: JSON and hashes tell a missing field from an undefined one. */
function set(name: string, value: unknown): Record<string, unknown> {
  return value === undefined ? {} : { [name]: value };
}
