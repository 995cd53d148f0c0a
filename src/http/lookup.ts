/*
 * What is looked for, in any form that it would be accepted in when it is posted. A plus that a caller did not encode
 * reaches us as a blank (WHATWG URL, application/x-www-form-urlencoded), so both are looked for.
 */
import type { Context } from "hono";
import { z } from "zod";
import { readAddress } from "../domain/door/address.ts";
import { eventIdOf, MAX_ID_LENGTH } from "../domain/door/identifier.ts";
import { cleanLine, isLonger } from "../domain/door/text.ts";

export const recipientParameter = z
  .string()
  .transform((given, context): string[] => {
    const read = readings(given).map(readAddress);
    const addresses = read.flatMap((one) => (one.ok ? [one.address] : []));
    const [first] = read;
    if (addresses.length === 0 && first?.ok === false) context.addIssue({ code: "custom", message: first.why });
    return [...new Set(addresses)];
  })
  .meta({ description: "An e-mail address, in any form that an event may have it in." });

export const bookingParameter = z
  .string()
  .transform((given, context): string[] => {
    const ids = readings(given).map(cleanLine);
    const [id = ""] = ids;
    if (id === "" || isLonger(id, MAX_ID_LENGTH)) {
      context.addIssue({ code: "custom", message: `must have 1 to ${MAX_ID_LENGTH} characters` });
    }
    return [...new Set(ids)];
  })
  .meta({ description: `A booking's id, of up to ${MAX_ID_LENGTH} characters.` });

function readings(given: string): string[] {
  return given.includes(" ") ? [given, given.replaceAll(" ", "+")] : [given];
}

/** The event's id in the path, as the event has it; undefined for what cannot be one, so that no store looks for it. */
export function eventIdIn(c: Context): string | undefined {
  return eventIdOf(c.req.param("eventId"));
}
