/* What becomes of a mail when the relay refuses, closes or falls silent, at each place of a session. */
import { describe, expect, test } from "bun:test";
import type { Delivery } from "../../src/mail/mailer.ts";
import type { RelayScript, Step } from "../support/relay.ts";
import { MAIL } from "./fixtures.ts";
import { IMPATIENT, mailerTo, relayWith } from "./harness.ts";

const kindOf = (delivery: Delivery) => (delivery.kind === "failed" ? delivery.failure.kind : delivery.kind);
const reasonOf = (delivery: Delivery) => (delivery.kind === "failed" ? delivery.failure.reason : delivery);

async function send(script: RelayScript, text = MAIL.text) {
  const relay = await relayWith(script);
  const opening = script.greeting ?? script.ehlo;
  const silent = Object.values(script).some((step) => /hang/.test(String(step)));
  const timeouts = silent ? IMPATIENT[opening === undefined ? "transaction" : "opening"] : {};
  const delivery = await mailerTo(relay.url, { timeouts }).send({ ...MAIL, text });
  return { relay, delivery };
}

const REFUSED = "451 4.3.0 later";
const REJECTED = "554 5.3.0 never";
const CLOSING = "421 4.3.2 closing";

describe.each([
  ["with", ["PIPELINING"]],
  ["without", []],
] as const)("%s pipelining, a relay", (_, extensions) => {
  test.each([
    ["greeting", REJECTED, "relay_fault"],
    ["greeting", CLOSING, "relay_fault"],
    ["greeting", "drop", "relay_fault"],
    ["greeting", "hang", "relay_fault"],
    ["ehlo", REJECTED, "relay_fault"],
    ["ehlo", CLOSING, "relay_fault"],
    ["ehlo", "drop", "relay_fault"],
    ["ehlo", "hang", "relay_fault"],
    ["mail", REFUSED, "transient"],
    ["mail", REJECTED, "permanent"],
    ["mail", "530 5.7.0 authentication required", "relay_fault"],
    ["mail", "550 5.7.60 not as this sender", "relay_fault"],
    ["mail", CLOSING, "relay_fault"],
    ["mail", "hello there", "transient"],
    ["mail", "drop", "relay_fault"],
    ["mail", "hang", "relay_fault"],
    ["rcpt", REFUSED, "transient"],
    ["rcpt", REJECTED, "permanent"],
    ["rcpt", CLOSING, "relay_fault"],
    ["rcpt", "<html>500</html>", "transient"],
    ["rcpt", "drop", "transient"],
    ["rcpt", "hang", "transient"],
    ["data", REFUSED, "transient"],
    ["data", REJECTED, "permanent"],
    ["data", CLOSING, "relay_fault"],
    ["data", "HTTP/1.1 400 Bad Request", "transient"],
    ["data", "drop", "transient"],
    ["data", "hang", "transient"],
    ["dot", REFUSED, "transient"],
    ["dot", REJECTED, "permanent"],
    ["dot", CLOSING, "relay_fault"],
    ["dot", "drop", "ambiguous"],
    ["dot", "hang", "ambiguous"],
  ] as const)("that answers %s with %s: %s", async (place, step: Step, kind) => {
    const { relay, delivery } = await send({ [place]: step, extensions: [...extensions] });
    expect(kindOf(delivery)).toBe(kind);
    if (/^\d/.test(step)) expect(JSON.stringify(delivery)).toContain(`"${step}"`);
    expect(relay.received).toEqual([]);
    expect(relay.connections).toBe(1);
  });

  test.each(["keep, drop", "keep, hang"] as const)(
    "that has the mail and does not say so (%s): ambiguous",
    async (step) => {
      const { relay, delivery } = await send({ dot: step, extensions: [...extensions] });
      expect(kindOf(delivery)).toBe("ambiguous");
      expect(reasonOf(delivery)).toMatch(/after the final dot, before its reply$/);
      expect(relay.received).toHaveLength(1);
    },
  );
});

describe("a relay whose answers are out of step", () => {
  test("by another answer to DATA than 354 gets no content, and loses the connection", async () => {
    const relay = await relayWith({ data: ["250 2.1.5 ok"] });
    const mailer = mailerTo(relay.url);
    const delivery = await mailer.send(MAIL);
    expect(delivery).toMatchObject({ kind: "failed", failure: { kind: "transient" } });
    expect(JSON.stringify(delivery)).toContain("DATA is answered with");
    expect(await mailer.send(MAIL)).toMatchObject({ kind: "sent" });
    expect([relay.received.length, relay.connections]).toEqual([1, 2]);
  });

  test("by one answer too many gets the next mail on another connection, and each once", async () => {
    const twice = "250 2.0.0 queued\r\n250 2.0.0 queued again";
    const relay = await relayWith({ dot: [twice, twice, twice] });
    const mailer = mailerTo(relay.url);
    const deliveries = [];
    for (let i = 0; i < 6; i++) deliveries.push((await mailer.send(MAIL)).kind);
    expect(deliveries).toEqual(Array(6).fill("sent"));
    expect([relay.received.length, relay.connections]).toEqual([6, 4]);
  });
});

describe("in the middle of the content", () => {
  const long = "0123456789 0123456789 0123456789\n".repeat(500_000);

  test("a connection lost before the final dot was written is transient", async () => {
    const { relay, delivery } = await send({ content: "drop" }, long);
    expect(kindOf(delivery)).toBe("transient");
    expect(reasonOf(delivery)).toContain("while the content was sent");
    expect(relay.received).toEqual([]);
  });

  test("a relay that stops reading is transient when its time is up", async () => {
    const { relay, delivery } = await send({ content: "hang" }, long);
    expect(kindOf(delivery)).toBe("transient");
    expect(reasonOf(delivery)).toContain("did not answer in time, while the content was sent");
    relay.closeConnections(); // it does not read that we have left, either
  });

  test("a refusal is the relay's reply, and ends the connection", async () => {
    const { relay, delivery } = await send({ content: ["452 4.3.1 full"] }, long);
    expect(delivery).toEqual({ kind: "failed", failure: { kind: "transient", reason: "452 4.3.1 full" } });
    await relay.until(({ open }) => open === 0);
  });

  test("a connection lost when a short mail was written as a whole is ambiguous", async () => {
    const { delivery } = await send({ content: "drop" });
    expect(kindOf(delivery)).toBe("ambiguous");
  });
});

describe("before there is a session", () => {
  test("nobody listens: the reason says where", async () => {
    const relay = await relayWith();
    await relay.stop();
    const mailer = mailerTo(relay.url);
    const reason = `connection refused by 127.0.0.1:${relay.port}`;
    expect(await mailer.send(MAIL)).toEqual({ kind: "relay_fault", reason });
    expect(await mailer.probe()).toBe(reason);
  });

  test("a name that does not resolve is a relay fault", async () => {
    const delivery = await mailerTo("smtp://relay.invalid:25").send(MAIL);
    expect(delivery).toMatchObject({ kind: "relay_fault" });
    expect(reasonOf(delivery)).toMatchObject({
      reason: expect.stringMatching(/^no address found for relay.invalid:25/),
    });
  });
});

test("a relay may be named by a host name", async () => {
  const relay = await relayWith();
  expect(kindOf(await mailerTo(relay.url.replace("127.0.0.1", "localhost")).send(MAIL))).toBe("sent");
});

test("a mail over the relay's size limit is permanent, and the connection goes on", async () => {
  const relay = await relayWith({ extensions: ["PIPELINING", "SIZE 2000"] });
  const mailer = mailerTo(relay.url);
  expect(kindOf(await mailer.send({ ...MAIL, text: "x".repeat(3000) }))).toBe("permanent");
  expect(kindOf(await mailer.send(MAIL))).toBe("sent");
  expect(relay.connections).toBe(1);
});

test("a mail that cannot be composed is permanent, and no relay is asked", async () => {
  const relay = await relayWith();
  const delivery = await mailerTo(relay.url).send({ ...MAIL, to: { address: "an@example.com\r\nx" } });
  expect(kindOf(delivery)).toBe("permanent");
  expect(reasonOf(delivery)).toMatch(/^the mail cannot be composed: /);
  expect(relay.connections).toBe(0);
});
