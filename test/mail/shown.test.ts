import { describe, expect, test } from "bun:test";
import { fillIn } from "../../src/mail/shown.ts";

describe("a phrase", () => {
  test.each([
    ["Refund[: {title}][ ({id})]", { title: "Bus", id: "1" }, "Refund: Bus (1)"],
    ["Refund[: {title}][ ({id})]", { id: "1" }, "Refund (1)"],
    ["Refund[: {title}][ ({id})]", {}, "Refund"],
    ["We have [refunded {amount}|made a refund] to you.", { amount: "5" }, "We have refunded 5 to you."],
    ["We have [refunded {amount}|made a refund] to you.", {}, "We have made a refund to you."],
    ["[TEST] {subject}", { subject: "[{title}]" }, "[TEST] [{title}]"],
  ])("%s with %p says %s", (phrase, values, said) => {
    expect(String(fillIn(phrase, values))).toBe(said);
  });

  test("is escaped in HTML, and so is a text that is filled in; what has a form of its own in HTML is not", () => {
    const bold = { toString: () => "<b>", toHTML: () => "<b>b</b>" };
    expect(fillIn("R & {a} {b}", { a: "<i>", b: bold }).toHTML()).toBe("R &amp; &lt;i&gt; <b>b</b>");
    expect(String(fillIn("R & {a} {b}", { a: "<i>", b: bold }))).toBe("R & <i> <b>");
  });

  test("fails without a value that it cannot do without", () => {
    expect(() => fillIn("Hello {name},", {})).toThrow('no value for {name} in "Hello {name},"');
  });
});
