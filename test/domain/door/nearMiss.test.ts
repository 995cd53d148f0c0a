import { describe, expect, test } from "bun:test";
import { nearMiss } from "../../../src/domain/door/nearMiss.ts";

const BOOKING = ["id", "title", "startsAt", "items"];
const CUSTOMER = ["email", "name", "locale"];

describe("a name", () => {
  test.each([
    ["startAt", BOOKING, "startsAt"],
    ["starts_at", BOOKING, "startsAt"],
    ["StartsAt", BOOKING, "startsAt"],
    ["startsAt ", BOOKING, "startsAt"],
    ["startDate", BOOKING, "startsAt"],
    ["item", BOOKING, "items"],
    ["itmes", BOOKING, "items"],
    ["titel", BOOKING, "title"],
    ["ID", BOOKING, "id"],
    ["local", CUSTOMER, "locale"],
    ["e-mail", CUSTOMER, "email"],
    ["mail", CUSTOMER, "email"],
    ["Name", CUSTOMER, "name"],
    ["occuredAt", ["occurredAt"], "occurredAt"],
  ])("%s is nearly one that is known", (name, known, meant) => {
    expect(nearMiss(name, known)).toBe(meant);
  });

  test.each([
    ["gate", BOOKING],
    ["sku", BOOKING],
    ["seat", BOOKING],
    ["no", BOOKING],
    ["phone", CUSTOMER],
    ["tier", CUSTOMER],
    ["", CUSTOMER],
    ["language", CUSTOMER],
    ["constructor", CUSTOMER],
    ["x".repeat(60_000), CUSTOMER],
  ])("%s is not", (name, known) => {
    expect(nearMiss(name, known)).toBeUndefined();
  });
});
