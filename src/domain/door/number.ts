/* Amounts and quantities. */
import { z } from "zod";
import { type Field, leaveOut, optional, show } from "./field.ts";

const IN_MINOR_UNITS = "an integer in the currency's minor unit, such as 450000 for 450,000 VND or 4,500.00 USD";
const MINOR_UNITS = "In the currency's minor unit (ISO 4217): 450000 is 450,000 VND, and 4,500.00 USD.";

/** What was paid. It is never guessed: an amount that is not an integer may be in another unit. */
export const paidAmount: Field<number> = {
  schema: z.int().min(0).meta({ description: MINOR_UNITS, example: 450_000 }),
  read(given, say) {
    if (Number.isSafeInteger(given) && (given as number) >= 0) return given as number;
    say.refuse(`is ${show(given)}: must be ${IN_MINOR_UNITS}${(given as number) < 0 ? ", and not negative" : ""}`);
    return undefined;
  },
};

/** What was given back: all that was paid, where it is not said. */
export const refundedAmount: Field<number> = {
  schema: paidAmount.schema,
  read: (given, say) => (given === undefined || given === null ? undefined : paidAmount.read(given, say)),
};

/** Of a whole line: less than nothing for a discount. */
export const lineAmount = optional(
  z.int().meta({ description: `Of the whole line, and negative for a discount. ${MINOR_UNITS}`, example: 450_000 }),
  (given, say) => {
    const value = typeof given === "string" && /^\s*-?\d{1,15}\s*$/.test(given) ? Number(given) : given;
    if (!Number.isSafeInteger(value)) return leaveOut(say, given, `is not ${IN_MINOR_UNITS}`);
    if (value !== given) say.note(`read as ${value}`);
    return value as number;
  },
);

export const quantity = optional(
  z.number().positive().meta({ description: "Also a part of one: 1.5 metres.", example: 1 }),
  (given, say) => {
    const value = typeof given === "string" && /^\s*\d{1,15}(?:\.\d{1,15})?\s*$/.test(given) ? Number(given) : given;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    return leaveOut(say, given, "is no quantity, such as 1 or 1.5");
  },
);

/** Not metals, funds and test codes, which have no minor unit: of the codes that begin with X these are money. */
const MONEY_WITH_X = ["XAF", "XCD", "XCG", "XOF", "XPF"];

const CURRENCIES = new Set(
  Intl.supportedValuesOf("currency").filter((code) => !code.startsWith("X") || MONEY_WITH_X.includes(code)),
);

export const currency = optional(
  z.string().meta({ description: "An ISO 4217 code.", example: "VND" }),
  (given, say) => {
    const text = typeof given === "string" ? given.trim() : "";
    const code = text.toUpperCase();
    if (!CURRENCIES.has(code)) return leaveOut(say, given, "is no ISO 4217 code, such as VND");
    if (code !== text) say.note(`read as ${code}`);
    return code;
  },
);
