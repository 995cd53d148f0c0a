/* Nothing of a mail, and no password, travels in the clear when TLS was asked for. */
import { beforeAll, describe, expect, test } from "bun:test";
import { classify, type SmtpError } from "../../src/mail/classify.ts";
import { openSession } from "../../src/mail/session.ts";
import { parseSmtpUrl, type Relay } from "../../src/mail/smtpUrl.ts";
import { type Certificate, makeCertificate } from "../support/certificate.ts";
import { MAIL } from "./fixtures.ts";
import { IMPATIENT, mailerTo, relayWith, withLogin } from "./harness.ts";

const SENT = { kind: "sent", reply: "250 2.0.0 queued" } as const;
const TRUST_ANY = "tls.rejectUnauthorized=false";
const LOGIN = ["PIPELINING", "AUTH PLAIN LOGIN"];

const TIMES = { connectionMs: 10_000, greetingMs: 10_000, commandMs: 10_000, replyMs: 10_000 };

let certificate: Certificate;
beforeAll(async () => {
  certificate = await makeCertificate();
});

/** As with NODE_EXTRA_CA_CERTS, which a process reads only once. */
function trusting(url: string): Relay {
  const { connection, ...rest } = parseSmtpUrl(url);
  return { ...rest, connection: { ...connection, tls: { ...connection.tls, ca: certificate.cert } } };
}

const verbs = (commands: string[]) => commands.map((line) => line.split(" ", 1)[0]);

describe.each(["implicit", "starttls"] as const)("%s TLS", (mode) => {
  test("carries mails over one connection", async () => {
    const relay = await relayWith({ tls: { mode, certificate } });
    const mailer = mailerTo(`${relay.url}?${TRUST_ANY}`);
    for (let i = 0; i < 3; i++) expect(await mailer.send(MAIL)).toEqual(SENT);
    expect(relay.connections).toBe(1);
    if (mode === "starttls") expect(verbs(relay.commands).slice(0, 3)).toEqual(["EHLO", "STARTTLS", "EHLO"]);
  });

  test("refuses a certificate that nobody vouches for", async () => {
    const relay = await relayWith({ tls: { mode, certificate }, extensions: LOGIN });
    const delivery = await mailerTo(withLogin(relay.url)).send(MAIL);
    expect(delivery).toMatchObject({ kind: "relay_fault", reason: expect.stringContaining("self signed certificate") });
    expect(verbs(relay.commands)).toEqual(mode === "starttls" ? ["EHLO", "STARTTLS"] : []);
  });

  test("takes a certificate that is vouched for", async () => {
    const relay = await relayWith({ tls: { mode, certificate } });
    const session = await openSession(trusting(relay.url), TIMES, new AbortController().signal);
    await session.quit();
  });

  test("refuses a certificate for another name", async () => {
    const relay = await relayWith({ tls: { mode, certificate } });
    const other = trusting(`${relay.url}?tls.servername=other.example.com`);
    const refusal = await openSession(other, TIMES, new AbortController().signal).catch((error) => error);
    expect(refusal).toMatchObject({ message: expect.stringMatching(/altname|does not match|hostname/i) });
    expect(relay.received).toEqual([]);
  });

  test("that does not get past its handshake is a relay fault", async () => {
    const relay = await relayWith(
      mode === "implicit" ? { greeting: "hang" } : { starttls: "220 2.0.0 ready", extensions: ["STARTTLS"] },
    );
    const delivery = await mailerTo(relay.url.replace("smtp:", mode === "implicit" ? "smtps:" : "smtp:"), {
      timeouts: IMPATIENT.opening,
    }).send(MAIL);
    expect(delivery).toMatchObject({ kind: "relay_fault" });
    expect(relay.received).toEqual([]);
  });
});

describe("STARTTLS that was asked for", () => {
  test("is not given up when the relay does not offer it", async () => {
    const relay = await relayWith({ extensions: LOGIN });
    const delivery = await mailerTo(`${withLogin(relay.url)}?requireTLS=true`).send(MAIL);
    expect(delivery).toEqual({ kind: "relay_fault", reason: "502 5.5.1 not here" });
    expect(verbs(relay.commands)).toEqual(["EHLO", "STARTTLS"]);
  });

  test.each(["", "?requireTLS=true"])("is not given up when the relay takes its offer back (%p)", async (query) => {
    const relay = await relayWith({ tls: { mode: "starttls", certificate }, starttls: "454 4.7.0 not today" });
    const delivery = await mailerTo(relay.url + query).send(MAIL);
    expect(delivery).toEqual({ kind: "relay_fault", reason: "454 4.7.0 not today" });
    expect(relay.received).toEqual([]);
  });
});

describe("a password for a relay on another host", () => {
  const elsewhere = (url: string, query = ""): Relay => {
    const relay = parseSmtpUrl(withLogin(url.replace("127.0.0.1", "mail.example.com")) + query);
    return { ...relay, connection: { ...relay.connection, host: "127.0.0.1" } };
  };
  const open = (relay: Relay) => openSession(relay, TIMES, new AbortController().signal);

  test("is not sent where no TLS is offered, and the reason says so", async () => {
    const relay = await relayWith({ extensions: LOGIN });
    const refusal = (await open(elsewhere(relay.url)).catch((error) => error)) as SmtpError;
    expect(classify(refusal, "opening", "mail.example.com:587")).toEqual({
      kind: "relay_fault",
      reason:
        'no TLS with mail.example.com:587: the relay answers STARTTLS with "502 5.5.1 not here", and a password is not sent in the clear (unless requireTLS=false)',
    });
    expect(verbs(relay.commands)).toEqual(["EHLO", "STARTTLS"]);
  });

  test.each(["?requireTLS=false", "?ignoreTLS=true"])(
    "is sent in the clear when the URL asks for it (%s)",
    async (query) => {
      const relay = await relayWith({ extensions: LOGIN });
      await (await open(elsewhere(relay.url, query))).quit();
      expect(verbs(relay.commands)).toContain("AUTH");
    },
  );
});

describe("AUTH", () => {
  test("logs in inside TLS", async () => {
    const relay = await relayWith({ tls: { mode: "starttls", certificate }, extensions: LOGIN });
    const mailer = mailerTo(`${withLogin(relay.url, "us%40er:p%3Ass")}?requireTLS=true&${TRUST_ANY}`);
    expect(await mailer.send(MAIL)).toEqual(SENT);
    expect(verbs(relay.commands).slice(0, 4)).toEqual(["EHLO", "STARTTLS", "EHLO", "AUTH"]);
    expect(atob(relay.commands[3]?.split(" ")[2] ?? "")).toBe("\0us@er\0p:ss");
  });

  test("can be told which way", async () => {
    const relay = await relayWith({ extensions: LOGIN, auth: ["334 UGFzc3dvcmQ6", "ok"] });
    const delivery = await mailerTo(`${withLogin(relay.url)}?authMethod=LOGIN`).send(MAIL);
    expect(delivery).toMatchObject({ kind: "relay_fault" });
    expect(relay.commands[1]).toBe("AUTH LOGIN");
  });

  test.each(["535 5.7.8 bad credentials", "454 4.7.0 later", "421 4.3.2 closing", "drop", "hang"] as const)(
    "that fails with %s is a relay fault, and no mail is sent",
    async (auth) => {
      const relay = await relayWith({ extensions: LOGIN, auth });
      const mailer = mailerTo(withLogin(relay.url), { timeouts: auth === "hang" ? IMPATIENT.opening : {} });
      expect(await mailer.send(MAIL)).toMatchObject({ kind: "relay_fault" });
      expect(await mailer.probe()).toBeString();
      expect(verbs(relay.commands)).not.toContain("MAIL");
    },
  );

  test("is left out where the relay does not offer it", async () => {
    const relay = await relayWith();
    expect(await mailerTo(withLogin(relay.url)).send(MAIL)).toEqual(SENT);
    expect(verbs(relay.commands)).not.toContain("AUTH");
  });
});
