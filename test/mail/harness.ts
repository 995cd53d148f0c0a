/* Relays and mailers of one test file, ended after each test; a connection left open fails it. */
import { afterEach } from "bun:test";
import type { Mailer } from "../../src/mail/mailer.ts";
import { createMailer, type MailerOptions } from "../../src/mail/transport.ts";
import { type FakeRelay, type RelayScript, startRelay } from "../support/relay.ts";

/** For tests of silence; all other tests have the patience of the real service, whatever else the machine does. */
export const IMPATIENT = {
  opening: { connectionMs: 200, greetingMs: 200 },
  transaction: { commandMs: 300, replyMs: 300 },
};

const relays: FakeRelay[] = [];
const mailers: Mailer[] = [];

afterEach(async () => {
  await Promise.all(mailers.splice(0).map((mailer) => mailer.close()));
  const used = relays.splice(0);
  await Promise.all(used.map((relay) => relay.until(({ open }) => open === 0)));
  await Promise.all(used.map((relay) => relay.stop()));
});

export async function relayWith(script: RelayScript = {}): Promise<FakeRelay> {
  const relay = await startRelay(script);
  relays.push(relay);
  return relay;
}

export function mailerTo(smtpUrl: string, options: Partial<MailerOptions> = {}): Mailer {
  const mailer = createMailer({ smtpUrl, from: "Sao Việt <ve@example.com>", maxConnections: 1, ...options });
  mailers.push(mailer);
  return mailer;
}

/** `smtp://host:port` with credentials in front of the host. */
export function withLogin(url: string, login = "user:secret"): string {
  return url.replace("://", `://${login}@`);
}
