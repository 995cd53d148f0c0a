/* An event in the OpenAPI document: one schema per type, told apart by `type`. */
import { z } from "zod";
import { EVENT_TYPES } from "../domain/event.ts";

const eventSchemas = [...EVENT_TYPES].map(([type, { schema }]) => schema.meta({ id: schemaName(type) }));

/** Every schema is an object with its literal `type`; the registry's element type does not say so. */
export const event = z
  .discriminatedUnion("type", eventSchemas as unknown as [z.ZodObject, ...z.ZodObject[]])
  .meta({ id: "Event" });

/** "payment.completed" is PaymentCompleted. */
function schemaName(type: string): string {
  return type.replace(/(?:^|\.)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
