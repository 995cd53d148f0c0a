import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { simpleParser } from "mailparser";
import { type Catcher, type CatcherOptions, checkPort, startCatcher } from "../../src/mail/catcher.ts";
import { createMailer } from "../../src/mail/transport.ts";
import { freePort } from "../support/freePort.ts";
import { keepLines } from "../support/log.ts";
import { MAIL } from "./fixtures.ts";

let home: string;
let directory: string;
let catchers: Catcher[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "postpaid-caught-"));
  directory = join(home, "caught");
});

afterEach(async () => {
  await Promise.all(catchers.map((catcher) => catcher.stop()));
  catchers = [];
  await rm(home, { recursive: true });
});

async function catcherWith(options: Partial<CatcherOptions> = {}): Promise<Catcher> {
  const catcher = await startCatcher({ port: 0, directory, ...options });
  catchers.push(catcher);
  return catcher;
}

/** Sends mails msg_0, msg_1 … and returns what the catcher answered. */
function sendTo(catcher: Catcher, count: number, maxConnections: number) {
  return sendAs(
    Array.from({ length: count }, (_, i) => `msg_${i}@example.com`),
    catcher,
    maxConnections,
  );
}

async function sendAs(messageIdHeaders: readonly string[], { port }: Catcher, maxConnections = 1) {
  const mailer = createMailer({ smtpUrl: `smtp://127.0.0.1:${port}`, from: "ve@example.com", maxConnections });
  const mails = messageIdHeaders.map((messageIdHeader) => ({ ...MAIL, messageIdHeader }));
  const deliveries = await Promise.all(mails.map((mail) => mailer.send(mail)));
  await mailer.close();
  return deliveries;
}

describe("a caught mail", () => {
  test("is a file that is whole once the 250 is there", async () => {
    const catcher = await catcherWith();
    expect(await sendTo(catcher, 1, 1)).toEqual([{ kind: "sent", reply: "250 2.0.0 caught" }]);
    const [name = "", ...others] = await readdir(directory);
    expect(others).toEqual([]);
    expect(name).toMatch(/^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z-000001-msg_0\.eml$/);
    const mail = await simpleParser(await Bun.file(join(directory, name)).text());
    expect(mail.subject).toBe(MAIL.subject);
    expect(mail.text).toBe(MAIL.text);
    expect(mail.html).toBe(MAIL.html);
  });

  test("names the message, also a later one of the same event", async () => {
    const { log, lines } = keepLines();
    const catcher = await catcherWith({ log });
    await sendAs(["msg_0a-b_c.2@example.com"], catcher);
    expect(lines).toMatchObject([{ messageId: "msg_0a-b_c.2", msg: "mail caught" }]);
    expect(await readdir(directory)).toEqual([expect.stringMatching(/-msg_0a-b_c\.2\.eml$/)]);
  });

  test("can be read by nobody else", async () => {
    const catcher = await catcherWith();
    await sendTo(catcher, 1, 1);
    const [name = ""] = await readdir(directory);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
  });

  test("is one of many that come at once", async () => {
    const catcher = await catcherWith();
    const deliveries = await sendTo(catcher, 60, 12);
    expect(deliveries.every(({ kind }) => kind === "sent")).toBe(true);
    const names = await readdir(directory);
    const ids = new Set(names.map((name) => /msg_\d+/.exec(name)?.[0]));
    expect(names).toHaveLength(60);
    expect(ids.size).toBe(60);
  });

  test("has no path of the sender's choosing", async () => {
    const catcher = await catcherWith();
    await sendAs(["../../evil@example.com"], catcher);
    expect(await readdir(home)).toEqual(["caught"]);
    expect(await readdir(directory)).toEqual([expect.stringMatching(/-000001-mail\.eml$/)]);
  });
});

describe("the oldest mails", () => {
  test("are deleted beyond the limit, those of earlier runs first", async () => {
    const first = await catcherWith({ keep: 4 });
    await sendTo(first, 3, 1);
    const before = (await readdir(directory)).sort();
    const second = await catcherWith({ keep: 4 });
    await sendTo(second, 2, 1);
    const after = (await readdir(directory)).sort();
    expect(after).toHaveLength(4);
    expect(after.slice(0, 2)).toEqual(before.slice(1));
  });

  test("are the only files touched, but for half-written mails", async () => {
    await catcherWith().then(({ stop }) => stop());
    await writeFile(join(directory, "note.txt"), "mine");
    await writeFile(join(directory, "x.eml.part"), "half a mail");
    const catcher = await catcherWith({ keep: 1 });
    await sendTo(catcher, 3, 1);
    expect((await readdir(directory)).sort()).toEqual([expect.stringMatching(/msg_2\.eml$/), "note.txt"]);
  });
});

describe("a mail that cannot be stored", () => {
  test("is refused for now", async () => {
    const catcher = await catcherWith();
    await rm(directory, { recursive: true });
    expect(await sendTo(catcher, 1, 1)).toEqual([
      { kind: "failed", failure: { kind: "transient", reason: "451 4.3.0 the mail could not be stored" } },
    ]);
  });
});

describe("a port that is in use", () => {
  let other: Server;
  let port: number;
  beforeEach(async () => {
    other = createServer();
    port = freePort();
    await new Promise<void>((resolve) => other.listen(port, "127.0.0.1", resolve));
  });
  afterEach(() => {
    other.close();
  });

  test("is an error that says which, and what to do", async () => {
    await expect(catcherWith({ port })).rejects.toThrow(
      new RegExp(
        `^CATCHER_PORT ${port} on 127.0.0.1 is in use: stop what listens there .*, choose another CATCHER_PORT, or set SMTP_URL`,
      ),
    );
  });

  test("is waited for, as long as it may take to come free", async () => {
    await expect(checkPort(port, 100)).rejects.toThrow("is in use");
    const checked = checkPort(port, 10_000);
    other.close();
    await checked;
  });
});

test("a port that cannot be had for another reason is not waited for", async () => {
  const startedAt = performance.now();
  const notOurs = checkPort(0, 10_000, "192.0.2.1");
  await expect(notOurs).rejects.toThrow("CATCHER_PORT 0 on 192.0.2.1 cannot be listened on: ");
  expect(performance.now() - startedAt).toBeLessThan(5_000);
});

test("a catcher that stops ends the connections that are open", async () => {
  const catcher = await catcherWith();
  const mailer = createMailer({
    smtpUrl: `smtp://127.0.0.1:${catcher.port}`,
    from: "ve@example.com",
    maxConnections: 1,
  });
  await mailer.send(MAIL);
  await catcher.stop();
  expect(await mailer.send(MAIL)).toMatchObject({ kind: "relay_fault" });
  await mailer.close();
});
