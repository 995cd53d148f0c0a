import { describe, expect, test } from "bun:test";
import { classify, type Phase, type SmtpError } from "../../src/mail/classify.ts";

const LABEL = "mail.example.com:587";

const kindOf = (error: SmtpError, phase: Phase) => {
  const delivery = classify(error, phase, LABEL);
  return delivery.kind === "failed" ? delivery.failure.kind : delivery.kind;
};

const reasonOf = (error: SmtpError, phase: Phase) => {
  const delivery = classify(error, phase, LABEL);
  return delivery.kind === "failed" ? delivery.failure.reason : delivery.reason;
};

/** As nodemailer reports a refusal. */
const refused = (response: string, command: string, code = "EENVELOPE"): SmtpError => ({
  message: `refused: ${response}`,
  code,
  command,
  response,
  responseCode: Number.parseInt(response, 10),
});

const LOST: SmtpError = { message: "Connection closed unexpectedly", code: "ECONNECTION", command: "CONN" };
const RESET: SmtpError = { message: "read ECONNRESET", code: "ESOCKET", originalCode: "ECONNRESET", command: "CONN" };
const LATE: SmtpError = { message: "timeout", code: "ETIMEDOUT" };

describe("a reply", () => {
  test.each([
    ["554 5.3.2 go away", "CONN", "EPROTOCOL", "opening", "relay_fault"],
    ["450 4.3.2 not now", "CONN", "EPROTOCOL", "opening", "relay_fault"],
    ["550 5.5.1 no HELO", "HELO", "EPROTOCOL", "opening", "relay_fault"],
    ["454 4.7.0 no TLS", "STARTTLS", "ETLS", "opening", "relay_fault"],
    ["535 5.7.8 bad credentials", "AUTH PLAIN", "EAUTH", "opening", "relay_fault"],
    ["454 4.7.0 later", "AUTH PLAIN", "EAUTH", "opening", "relay_fault"],
    ["421 4.3.2 closing", "MAIL FROM", "EENVELOPE", "answered", "relay_fault"],
    ["421 4.3.2 closing", "RCPT TO", "EENVELOPE", "answered", "relay_fault"],
    ["421 4.3.2 closing", "DATA", "EENVELOPE", "answered", "relay_fault"],
    ["421 4.3.2 closing", "DATA", "EMESSAGE", "dot", "relay_fault"],
    ["530 5.7.0 authentication required", "MAIL FROM", "EENVELOPE", "answered", "relay_fault"],
    ["534 5.7.9 too weak", "MAIL FROM", "EENVELOPE", "answered", "relay_fault"],
    ["535 5.7.8 who are you", "MAIL FROM", "EENVELOPE", "answered", "relay_fault"],
    ["538 5.7.11 encrypt first", "MAIL FROM", "EENVELOPE", "answered", "relay_fault"],
    ["550 5.7.60 not allowed to send as this sender", "MAIL FROM", "EENVELOPE", "answered", "relay_fault"],
    ["550 5.1.8 bad sender domain", "MAIL FROM", "EENVELOPE", "answered", "permanent"],
    ["552 5.3.4 too large", "MAIL FROM", "EENVELOPE", "answered", "permanent"],
    ["552 5.2.2 mailbox full", "RCPT TO", "EENVELOPE", "answered", "transient"],
    ["550-5.2.2 over quota", "DATA", "EMESSAGE", "dot", "transient"],
    ["451 4.3.0 later", "MAIL FROM", "EENVELOPE", "answered", "transient"],
    ["503 5.5.1 nested MAIL", "MAIL FROM", "EENVELOPE", "answered", "transient"],
    ["550 5.1.1 no such user", "RCPT TO", "EENVELOPE", "answered", "permanent"],
    ["550 5.7.1 not to them", "RCPT TO", "EENVELOPE", "answered", "permanent"],
    ["450 4.2.1 greylisted", "RCPT TO", "EENVELOPE", "answered", "transient"],
    ["554 5.5.1 no", "DATA", "EENVELOPE", "answered", "permanent"],
    ["451 4.3.0 later", "DATA", "EENVELOPE", "answered", "transient"],
    ["554 5.6.0 spam", "DATA", "EMESSAGE", "dot", "permanent"],
    ["452 4.3.1 full", "DATA", "EMESSAGE", "dot", "transient"],
    ["452 4.3.1 full", "DATA", "EMESSAGE", "content", "transient"],
  ] as const)("%s to %s (%s, %s) is %s", (response, command, code, phase, kind) => {
    const error = refused(response, command, code);
    expect(kindOf(error, phase)).toBe(kind);
    expect(reasonOf(error, phase)).toBe(response);
  });
});

test("an answer to the final dot that is no reply leaves open what became of the mail", () => {
  const error: SmtpError = { message: "Message failed", code: "EMESSAGE", command: "DATA", response: "banana" };
  expect(kindOf(error, "dot")).toBe("ambiguous");
});

describe("a connection that was lost", () => {
  test.each([
    ["opening", "relay_fault"],
    ["envelope", "relay_fault"],
    ["answered", "transient"],
    ["content", "transient"],
    ["dot", "ambiguous"],
  ] as const)("in the phase %s is %s, whether closed, reset or silent", (phase, kind) => {
    for (const error of [LOST, RESET, LATE]) expect(kindOf(error, phase)).toBe(kind);
  });

  test("after a reply without its line end is that reply", () => {
    expect(kindOf({ ...LOST, response: "554 5.7.1 spa", responseCode: 554 }, "dot")).toBe("permanent");
  });

  test("by a reply that nobody asked for is no refusal", () => {
    const stray = refused("550 what?", "CONN", "EPROTOCOL");
    expect(kindOf(stray, "envelope")).toBe("relay_fault");
    expect(kindOf(stray, "dot")).toBe("ambiguous");
  });
});

describe("a mail that nodemailer does not send", () => {
  test.each(["EENVELOPE", "EMESSAGE"])("%s is permanent", (code) => {
    const error = { message: "Message size larger than allowed 100", code, command: "MAIL FROM" };
    expect(kindOf(error, "envelope")).toBe("permanent");
    expect(reasonOf(error, "envelope")).toBe(error.message);
  });
});

describe("the reason", () => {
  const refusal = { message: "connect ECONNREFUSED", code: "ESOCKET", originalCode: "ECONNREFUSED" };
  const unknown = { message: "queryA ENOTFOUND", code: "EDNS", originalCode: "ENOTFOUND" };
  const unreachable = { message: "Connection timeout", code: "ETIMEDOUT", timeoutType: "CONNECT_TIMEOUT" };

  test.each([
    ["connection refused by mail.example.com:587", refusal, "opening"],
    ["no address found for mail.example.com:587 (ENOTFOUND)", unknown, "opening"],
    ["no connection to mail.example.com:587 within the time allowed", unreachable, "opening"],
    ["no TLS with mail.example.com:587: bad cert", { message: "bad cert", code: "ETLS" }, "opening"],
    ["mail.example.com:587 did not answer in time, after the final dot, before its reply", LATE, "dot"],
    ["connection closed by mail.example.com:587 before the session was ready", LOST, "opening"],
    ["connection closed by mail.example.com:587 while the content was sent", LOST, "content"],
    ["connection to mail.example.com:587 failed before it answered MAIL FROM: read ECONNRESET", RESET, "envelope"],
  ] as const)('can be "%s"', (reason, error, phase) => {
    expect(reasonOf(error, phase)).toBe(reason);
  });

  test("is one line of at most 500 characters", () => {
    const reason = reasonOf(
      refused(`550-5.1.1 first\r\n550 5.1.1 ${"x".repeat(2000)}\u2028\u0007`, "RCPT TO"),
      "answered",
    );
    expect(reason).toStartWith("550-5.1.1 first 550 5.1.1 xxx");
    expect(reason).toHaveLength(500);
  });
});

describe("a relay fault may be the message's after all", () => {
  test.each([
    [true, "at RCPT", refused("421 4.7.0 closing", "RCPT TO"), "answered"],
    [true, "at the final dot", refused("421 4.7.0 closing", "DATA", "EMESSAGE"), "dot"],
    [true, "without an answer to the envelope", LOST, "envelope"],
    [undefined, "at MAIL, which is the same for each message", refused("421 4.7.0 closing", "MAIL FROM"), "answered"],
    [undefined, "for want of credentials", refused("530 5.7.0 who are you", "RCPT TO"), "answered"],
    [undefined, "before there is a session", LOST, "opening"],
  ] as const)("%p: %s", (suspect, _where, error, phase) => {
    expect(classify(error, phase, LABEL)).toEqual({
      kind: "relay_fault",
      reason: expect.any(String),
      ...(suspect && { suspect }),
    });
  });
});
