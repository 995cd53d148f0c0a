/* An event in the OpenAPI document: one schema per type, told apart by `type`. */
import { z } from "zod";
import { EVENT_TYPES } from "../types/eventTypes.ts";
import { schemaOf } from "../types/parse.ts";

const eventSchemas = [...EVENT_TYPES.values()].map((type) => schemaOf(type).meta({ id: schemaName(type.name) }));

export const event = z
  .discriminatedUnion("type", eventSchemas as [z.ZodObject, ...z.ZodObject[]])
  .meta({ id: "Event" });

/** "payment.completed" is PaymentCompleted. */
function schemaName(type: string): string {
  return type.replace(/(?:^|\.)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
