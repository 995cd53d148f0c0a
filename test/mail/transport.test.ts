import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { simpleParser } from "mailparser";
import smtpTester from "smtp-tester";
import { createRenderer } from "../../src/mail/render.ts";
import { MAIL, paymentCompleted } from "./fixtures.ts";
import { IMPATIENT, mailerTo, relayWith } from "./harness.ts";

const STOPPED = { kind: "relay_fault", reason: "the worker stops" } as const;
const SENT = { kind: "sent", reply: "250 2.0.0 queued" } as const;

test("a rendered mail arrives whole", async () => {
  const server = smtpTester.init(0);
  await once(server.smtpServer.server, "listening");
  const { port } = server.smtpServer.server.address() as { port: number };
  try {
    const render = createRenderer({ from: "Sao Việt <ve@example.com>" });
    const caught = server.captureOne("an@example.com", { wait: 5_000 });
    const mailer = mailerTo(`smtp://127.0.0.1:${port}`);
    expect(await mailer.send(render(paymentCompleted(), "msg_01"))).toMatchObject({ kind: "sent" });
    await mailer.close();
    const { email } = await caught;
    expect<unknown>(email.sender).toBe("ve@example.com");
    expect<unknown>(email.receivers).toEqual({ "an@example.com": true });
    expect(email.headers).toMatchObject({
      subject: "Đã nhận thanh toán: Hà Nội → Sa Pa, sleeper bus (BK-1042)",
      "message-id": "<msg_01@example.com>",
      "auto-submitted": "auto-generated",
      "x-auto-response-suppress": "OOF, AutoReply",
      "content-language": "vi",
      "x-postpaid-message": "msg_01",
    });
    expect(email.body).toContain("Xin chào Nguyễn Văn An,");
    expect(email.html).toContain('<html lang="vi"');
  } finally {
    await new Promise<void>((resolve) => server.stop(() => resolve()));
  }
});

test("the envelope is ours, and lines that begin with a dot come through", async () => {
  const relay = await relayWith();
  expect(await mailerTo(relay.url).send(MAIL)).toEqual(SENT);
  const [mail] = relay.received;
  expect(mail?.envelope).toEqual({ from: "ve@example.com", to: ["an@example.com"] });
  expect((await simpleParser(mail?.raw ?? "")).text).toBe(MAIL.text);
});

test("a reply of several lines is told as one", async () => {
  const relay = await relayWith({ dot: "250-2.0.0 first\r\n250 2.0.0 queued as 42" });
  expect(await mailerTo(relay.url).send(MAIL)).toEqual({
    kind: "sent",
    reply: "250-2.0.0 first 250 2.0.0 queued as 42",
  });
});

describe("connections", () => {
  test("are kept from mail to mail", async () => {
    const relay = await relayWith();
    const mailer = mailerTo(relay.url);
    for (let i = 0; i < 5; i++) expect(await mailer.send(MAIL)).toEqual(SENT);
    expect(relay.connections).toBe(1);
  });

  test("are never more than allowed", async () => {
    const relay = await relayWith();
    const mailer = mailerTo(relay.url, { maxConnections: 3 });
    const deliveries = await Promise.all(Array.from({ length: 50 }, () => mailer.send(MAIL)));
    expect(deliveries).toEqual(Array(50).fill(SENT));
    expect(relay.received).toHaveLength(50);
    expect(relay.mostOpen).toBe(3);
  });

  test("go on after a refusal, with the transaction ended", async () => {
    const relay = await relayWith({
      rcpt: ["550 5.1.1 no such user"],
      data: ["451 4.3.0 later"],
      dot: ["554 5.6.0 spam"],
    });
    const mailer = mailerTo(relay.url);
    for (let i = 0; i < 3; i++) expect(await mailer.send(MAIL)).toMatchObject({ kind: "failed" });
    expect(await mailer.send(MAIL)).toEqual(SENT);
    expect(relay.connections).toBe(1);
    expect(relay.commands.filter((line) => line === "RSET")).toHaveLength(3);
  });

  test.each(["drop", "hang", "503 5.5.1 what?"] as const)(
    "are given up when the relay does not end it (%s)",
    async (rset) => {
      const relay = await relayWith({ rcpt: ["550 5.1.1 no such user"], rset });
      const mailer = mailerTo(relay.url, { timeouts: rset === "hang" ? IMPATIENT.opening : {} });
      expect(await mailer.send(MAIL)).toMatchObject({ kind: "failed" });
      expect(await mailer.send(MAIL)).toEqual(SENT);
      expect(relay.connections).toBe(2);
    },
  );

  test("are closed politely when no mail has come for a while", async () => {
    const relay = await relayWith();
    await mailerTo(relay.url, { idleMs: 20 }).send(MAIL);
    await relay.until(({ open }) => open === 0);
    expect(relay.commands.at(-1)).toBe("QUIT");
  });

  test.each([
    ["421 4.4.2 idle for too long", "with a goodbye"],
    [undefined, "without a word"],
  ])("that the relay closed while idle (%p) are replaced %s", async (goodbye) => {
    const relay = await relayWith();
    const mailer = mailerTo(relay.url);
    await mailer.send(MAIL);
    relay.closeConnections(goodbye);
    await relay.until(({ open }) => open === 0);
    expect(await mailer.send(MAIL)).toEqual(SENT);
    expect(relay.received).toHaveLength(2);
    expect(relay.connections).toBe(2);
  });

  test.each(["drop", "421 4.4.2 too late", "hang"] as const)(
    "that die just as they are taken up again (%s) are replaced once",
    async (step) => {
      const relay = await relayWith({ mail: ["ok", step] });
      const mailer = mailerTo(relay.url, { timeouts: IMPATIENT.transaction });
      expect(await mailer.send(MAIL)).toEqual(SENT);
      expect(await mailer.send(MAIL)).toEqual(SENT);
      expect(relay.received).toHaveLength(2);
      expect(relay.connections).toBe(2);
    },
  );
});

describe("a kept connection is not replaced", () => {
  test("when the relay has answered some of the mail", async () => {
    const relay = await relayWith({ rcpt: ["ok", "drop"] });
    const mailer = mailerTo(relay.url);
    await mailer.send(MAIL);
    expect(await mailer.send(MAIL)).toMatchObject({ kind: "failed", failure: { kind: "transient" } });
    expect(relay.connections).toBe(1);
  });

  test("when the relay may have the mail", async () => {
    const relay = await relayWith({ dot: ["ok", "keep, drop"] });
    const mailer = mailerTo(relay.url);
    await mailer.send(MAIL);
    expect(await mailer.send(MAIL)).toMatchObject({ kind: "failed", failure: { kind: "ambiguous" } });
    expect(relay.received).toHaveLength(2);
    expect(relay.connections).toBe(1);
  });

  test("a second time: then the relay is at fault", async () => {
    const relay = await relayWith({ mail: ["ok", "drop", "drop"] });
    const mailer = mailerTo(relay.url);
    await mailer.send(MAIL);
    expect(await mailer.send(MAIL)).toMatchObject({ kind: "relay_fault" });
    expect(relay.connections).toBe(2);
  });
});

describe("a probe", () => {
  test("greets and says goodbye", async () => {
    const relay = await relayWith();
    expect(await mailerTo(relay.url).probe()).toBeUndefined();
    expect(relay.commands.map((line) => line.split(" ", 1)[0])).toEqual(["EHLO", "QUIT"]);
  });

  test("says what is wrong", async () => {
    const relay = await relayWith({ greeting: "554 5.3.2 not today" });
    expect(await mailerTo(relay.url).probe()).toBe("554 5.3.2 not today");
  });
});

describe("closing", () => {
  test("waits for the mail that is under way, and then lets go", async () => {
    const relay = await relayWith();
    const mailer = mailerTo(relay.url);
    const sending = mailer.send(MAIL);
    await mailer.close();
    expect(relay.received).toHaveLength(1);
    expect(await sending).toEqual(SENT);
    await relay.until(({ open }) => open === 0);
    expect(relay.commands.at(-1)).toBe("QUIT");
  });

  test("gives back the mails that still wait for a connection, and later ones", async () => {
    const relay = await relayWith();
    const mailer = mailerTo(relay.url);
    const sending = [mailer.send(MAIL), mailer.send(MAIL)];
    await mailer.close();
    expect(await Promise.all(sending)).toEqual([SENT, STOPPED]);
    expect(await mailer.send(MAIL)).toEqual(STOPPED);
    expect(relay.received).toHaveLength(1);
  });

  test("does not wait long for a relay that does not say goodbye", async () => {
    const relay = await relayWith({ quit: "hang" });
    const mailer = mailerTo(relay.url);
    await mailer.send(MAIL);
    const begun = performance.now();
    await mailer.close();
    expect(performance.now() - begun).toBeLessThan(4_000);
  });
});

describe("an abort", () => {
  test.each([
    ["greeting", STOPPED],
    ["mail", STOPPED],
    ["rcpt", STOPPED],
    ["data", STOPPED],
    ["dot", { kind: "failed", failure: { kind: "ambiguous" } }],
  ] as const)("ends the mail at once while the relay is silent at %s", async (place, delivery) => {
    const relay = await relayWith({ [place]: "hang" });
    const mailer = mailerTo(relay.url, { maxConnections: 2 });
    const sending = [mailer.send(MAIL), mailer.send(MAIL), mailer.send(MAIL)];
    await relay.until(({ silent }) => silent === 2);
    mailer.abort();
    await mailer.close();
    expect(await Promise.all(sending)).toMatchObject([delivery, delivery, STOPPED]);
    expect(await mailer.send(MAIL)).toEqual(STOPPED);
  });

  test("of a kept connection does not make a fresh one", async () => {
    const relay = await relayWith({ mail: ["ok", "hang"] });
    const mailer = mailerTo(relay.url);
    await mailer.send(MAIL);
    const sending = mailer.send(MAIL);
    await relay.until(({ silent }) => silent === 1);
    mailer.abort();
    expect(await sending).toEqual(STOPPED);
    expect(relay.connections).toBe(1);
  });
});
