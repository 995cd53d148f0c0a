/*
 * Mails over a few kept connections to one relay.
 *
 * The pool is our own, not nodemailer's, for two reasons. It has to know whether the final dot was
 * written before a connection was lost, which nodemailer's pool reports in the same way as a loss
 * before: that decides between trying again and "the customer may have it". And it takes about half the
 * CPU a mail. It never sends a mail twice by itself, but for one case: a kept connection that died
 * while idle, so that nothing of the mail was answered, is replaced once by a fresh one.
 */
import { classify, oneLine, reasonOf, type SmtpError } from "./classify.ts";
import { compose } from "./compose.ts";
import type { Delivery, Mail, Mailer } from "./mailer.ts";
import { parseSender } from "./sender.ts";
import { type Attempt, openSession, type Session, type Timeouts } from "./session.ts";
import { parseSmtpUrl } from "./smtpUrl.ts";

export interface MailerOptions {
  /** SMTP_URL */
  smtpUrl: string;
  /** MAIL_FROM */
  from: string;
  maxConnections: number;
  timeouts?: Partial<Timeouts>;
  /** How long a connection is kept without a mail; less than relays wait, which is minutes. */
  idleMs?: number;
}

const TIMEOUTS: Timeouts = { connectionMs: 10_000, greetingMs: 10_000, commandMs: 300_000, replyMs: 600_000 };

/** @throws when `smtpUrl` or `from` is not valid */
export function createMailer({ smtpUrl, from, maxConnections, timeouts, idleMs = 30_000 }: MailerOptions): Mailer {
  const relay = parseSmtpUrl(smtpUrl);
  const sender = parseSender(from);
  const limits = { ...TIMEOUTS, ...timeouts };
  /** The last one used is taken first, so that those that are not needed grow old and are closed. */
  const kept: { session: Session; timer: Timer }[] = [];
  const waiting: ((granted: boolean) => void)[] = [];
  const aborting = new AbortController();
  let busy = 0;
  let onDrained: (() => void) | undefined;
  let closing: Promise<void> | undefined;

  /** False: the mailer is closing. */
  function takeSlot(): Promise<boolean> | boolean {
    if (closing !== undefined) return false;
    if (busy >= maxConnections) return new Promise((resolve) => waiting.push(resolve));
    busy++;
    return true;
  }

  function freeSlot(): void {
    const next = waiting.shift();
    if (next !== undefined) next(true);
    else if (--busy === 0) onDrained?.();
  }

  function takeKept(): Session | undefined {
    for (let last = kept.pop(); last !== undefined; last = kept.pop()) {
      clearTimeout(last.timer);
      if (!last.session.ended) return last.session;
    }
    return undefined;
  }

  function keep(session: Session): void {
    const timer = setTimeout(() => {
      kept.splice(
        kept.findIndex((each) => each.session === session),
        1,
      );
      void session.quit();
    }, idleMs);
    kept.push({ session, timer });
  }

  /** The slot stays taken until the connection is ready for the next mail, or gone. */
  async function recycle(session: Session, attempt: Attempt): Promise<void> {
    const usable = attempt.ok || (await session.reset());
    if (usable && closing === undefined) keep(session);
    else await session.quit();
    freeSlot();
  }

  async function send(mail: Mail): Promise<Delivery> {
    let raw: Buffer;
    try {
      raw = compose(mail, sender, new Date());
    } catch (cause) {
      const reason = oneLine(`the mail cannot be composed: ${cause instanceof Error ? cause.message : cause}`);
      return { kind: "failed", failure: { kind: "permanent", reason } };
    }
    if (!(await takeSlot())) return STOPPED;

    let session = takeKept();
    let attempt = await session?.deliver(sender.address, mail.to.address, raw);
    if (session === undefined || attempt === undefined || diedIdle(attempt)) {
      try {
        session = await openSession(relay, limits, aborting.signal);
      } catch (error) {
        freeSlot();
        return aborting.signal.aborted ? STOPPED : classify(error as SmtpError, "opening", relay.label);
      }
      attempt = await session.deliver(sender.address, mail.to.address, raw);
    }
    void recycle(session, attempt);
    if (attempt.ok) return { kind: "sent", reply: oneLine(attempt.reply) };
    const { error, phase } = attempt;
    if (aborting.signal.aborted && error.response === undefined && phase !== "dot") return STOPPED;
    return classify(error, phase, relay.label);
  }

  async function probe(): Promise<string | undefined> {
    try {
      const session = await openSession(relay, limits, aborting.signal);
      await session.quit();
      return undefined;
    } catch (error) {
      return reasonOf(error as SmtpError, "opening", relay.label);
    }
  }

  async function drain(): Promise<void> {
    const drained = busy === 0 ? undefined : new Promise<void>((resolve) => (onDrained = resolve));
    for (const refuse of waiting.splice(0)) refuse(false);
    const goodbyes = kept.splice(0).map(({ session, timer }) => {
      clearTimeout(timer);
      return session.quit();
    });
    await Promise.all([drained, ...goodbyes]);
  }

  return {
    send,
    probe,
    close() {
      closing ??= drain();
      return closing;
    },
    abort() {
      closing ??= drain();
      aborting.abort();
    },
  };
}

const STOPPED: Delivery = { kind: "relay_fault", reason: "the worker stops" };

const LOST = new Set(["ECONNECTION", "ESOCKET", "ETIMEDOUT"]);

/** True when the relay ended a kept connection as it was taken up: it has seen nothing of the mail. */
function diedIdle(attempt: Attempt): boolean {
  if (attempt.ok) return false;
  const { code, command, responseCode } = attempt.error;
  if (command === "MAIL FROM" && responseCode === 421) return true; // its goodbye crossed our MAIL
  return attempt.phase === "envelope" && code !== undefined && LOST.has(code);
}
