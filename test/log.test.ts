import { describe, expect, test } from "bun:test";
import { createLog, maskAddresses } from "../src/log.ts";

type Line = Record<string, unknown> & { err: Record<string, unknown> };

function capture(level: string, plain: boolean) {
  const chunks: string[] = [];
  const log = createLog({
    by: "worker",
    level,
    plain,
    destination: { write: (chunk: string) => void chunks.push(chunk) },
  });
  return { log, chunks };
}

function logged(plain: boolean, fields: object, msg = "said"): { line: Line; text: string } {
  const { log, chunks } = capture("trace", plain);
  log.info(fields, msg);
  const text = chunks.join("");
  return { line: JSON.parse(text) as Line, text };
}

describe("a line", () => {
  test("is one line of JSON with level, time, message and whose it is, and nothing about the machine", () => {
    const { line, text } = logged(false, { eventId: "evt_1", attempt: 2 }, "message sent");
    expect(text).toEndWith("\n");
    expect(text.trim()).not.toContain("\n");
    expect(Object.keys(line).sort()).toEqual(["attempt", "by", "eventId", "level", "msg", "time"]);
    expect(line).toMatchObject({ eventId: "evt_1", attempt: 2, msg: "message sent" });
  });

  test("stays one line, whatever a field holds", () => {
    const { line, text } = logged(false, { reason: "a\nb\r\n{}\u2028" });
    expect(text.trim()).not.toContain("\n");
    expect(line["reason"]).toBe("a\nb\r\n{}\u2028");
  });

  test("below the level is not written", () => {
    const { log, chunks } = capture("warn", false);
    log.info("not this");
    log.debug("nor this");
    expect(chunks).toEqual([]);
    log.warn("this");
    expect(chunks).toEqual([expect.stringContaining("this")]);
  });
});

describe("addresses", () => {
  test.each(["reason", "reply", "recipient", "eventId"])("in %s are masked", (field) => {
    const { line, text } = logged(false, {
      [field]: "550 5.1.1 <an.nguyen+x@example.com>: unknown, try binh@example.org",
    });
    expect(line[field]).toBe("550 5.1.1 <a***@example.com>: unknown, try b***@example.org");
    expect(text).not.toContain("nguyen");
  });

  test("in an error, its stack and its cause are masked", () => {
    const cause = new Error("no mailbox an.nguyen@example.com");
    const { line, text } = logged(false, { err: new Error("refused an.nguyen@example.com", { cause }) });
    expect(text).not.toContain("nguyen");
    expect(line.err["message"]).toContain("refused a***@example.com");
    expect(line.err["stack"]).toContain("a***@example.com");
    expect(line.err["type"]).toBe("Error");
  });

  test("in an error's code are masked", () => {
    const error = Object.assign(new Error("no"), { code: "an.nguyen@example.com" });
    expect(logged(false, { err: error }).line.err["code"]).toBe("a***@example.com");
  });

  test("in an error's other fields are not written at all", () => {
    const error = Object.assign(new Error("no"), { rejected: ["an.nguyen@example.com"], response: "an.nguyen@x.y" });
    expect(logged(false, { err: error }).text).not.toContain("nguyen");
  });

  test("stay as they are where LOG_PII is plain", () => {
    const { line, text } = logged(true, {
      recipient: "an.nguyen@example.com",
      err: new Error("to an.nguyen@example.com"),
    });
    expect(line["recipient"]).toBe("an.nguyen@example.com");
    expect(line.err["message"]).toBe("to an.nguyen@example.com");
    expect(text).not.toContain("***");
  });

  test.each([
    ["an@example.com", "a***@example.com"],
    ["a@b", "a***@b"],
    ["<o'neil@example.com>", "<o***@example.com>"],
    ["x=an@example.com;y", "x***@example.com;y"],
    ["an@example.com,binh@example.com", "a***@example.com,b***@example.com"],
    ['<"an nguyen"@example.com>', "<a***@example.com>"],
    ['"an\\"n"@example.com', "a***@example.com"],
    ["an@[192.0.2.1]", "a***@[***]"],
    ["an@[IPv6:2001:db8::1] said", "a***@[***] said"],
    ["ngân@ví-dụ.vn", "n***@ví-dụ.vn"],
    ['say "hi" to binh@example.com', 'say "hi" to b***@example.com'],
    ["no address here, 5 @ 3", "no address here, 5 @ 3"],
    ["", ""],
  ])("in %p read %p", (text, masked) => {
    expect(maskAddresses(text)).toBe(masked);
  });

  test("are looked for in a time that the length of a text does not blow up", () => {
    const startedAt = performance.now();
    maskAddresses("x".repeat(100_000));
    maskAddresses("x@".repeat(50_000));
    maskAddresses('"'.repeat(100_000));
    maskAddresses('"\\'.repeat(50_000));
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });
});

describe("what is thrown", () => {
  // An unhandled rejection may be anything, and its line is the last one before the process ends.
  const table: [string, unknown][] = [
    ["text", "an.nguyen@example.com is away"],
    ["nothing", undefined],
    ["null", null],
    ["a number", 7],
    ["a plain object", { code: "E" }],
    ["an error without a stack", Object.assign(new Error("no"), { stack: undefined })],
    ["an error without a message", Object.assign(new Error(), { message: undefined })],
  ];
  for (const plain of [false, true]) {
    test.each(table)(`and is no error, but %s, is written all the same (plain: ${plain})`, (_what, thrown) => {
      const { line, text } = logged(plain, { err: thrown }, "unhandled rejection");
      expect(line["msg"]).toBe("unhandled rejection");
      if (!plain) expect(text).not.toContain("nguyen");
    });
  }

  test("by Redis or the system keeps its code", () => {
    const error = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", syscall: "connect" });
    expect(logged(true, { err: error }).line.err["code"]).toBe("ECONNREFUSED");
    expect(logged(false, { err: error }).line.err["code"]).toBe("ECONNREFUSED");
  });
});
