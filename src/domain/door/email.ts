/* An address as a field of an event, and as a value of other routes. */
import { z } from "zod";
import { readAddress } from "./address.ts";
import { type Field, show } from "./field.ts";

/** As a string that is read as one bare address. */
export const address = z
  .string()
  .transform((given, context) => {
    const read = readAddress(given);
    if (read.ok) return read.address;
    context.addIssue({ code: "custom", message: read.why });
    return z.NEVER;
  })
  .meta({ description: "One e-mail address.", example: "an@example.com" });

export const email: Field<string> = {
  schema: z.string().meta({
    description:
      "One address. A domain beyond ASCII is taken; before the @ is ASCII only, as nothing else goes everywhere.",
    example: "an@example.com",
  }),
  read(given, say) {
    const read = typeof given === "string" ? readAddress(given) : undefined;
    if (read?.ok) {
      if (read.changed) say.note(`read as ${read.address}`);
      return read.address;
    }
    say.refuse(`is ${show(given)}: ${read?.why ?? "must be one e-mail address such as an@example.com"}`);
    return undefined;
  },
};
