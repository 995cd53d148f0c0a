/*
 * Mails over a few kept connections to one relay.
 *
 * The pool is our own, not nodemailer's, for two reasons. It has to know whether the final dot was
 * written before a connection was lost, which nodemailer's pool reports in the same way as a loss
 * before: that decides between trying again and "the customer may have it". And it takes about half the
 * CPU a mail. It never sends a mail twice by itself, but for one case: a kept connection that died while
 * idle, so that the relay answered nothing of the mail, or MAIL with the 421 of its goodbye, is replaced by
 * a fresh one. Neither can have handed the mail over: its content had not been asked for.
 */
import { time } from "../domain/time.ts";
import { classify, oneLine, reasonOf, type SmtpError } from "./classify.ts";
import { compose } from "./compose.ts";
import type { Delivery, Mail, Mailer, Withheld } from "./mailer.ts";
import { type Loan, Pool } from "./pool.ts";
import { parseSender } from "./sender.ts";
import { type Attempt, OUT_OF_STEP, openSession, type Timeouts } from "./session.ts";
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
  /** How long after a refused connection another one is tried, while some are open. */
  retryMs?: number;
}

const TIMEOUTS: Timeouts = { connectionMs: 10_000, greetingMs: 10_000, commandMs: 300_000, replyMs: 600_000 };

/** @throws when `smtpUrl` or `from` is not valid */
export function createMailer({
  smtpUrl,
  from,
  maxConnections,
  timeouts,
  idleMs = 30_000,
  retryMs = 30_000,
}: MailerOptions): Mailer {
  const relay = parseSmtpUrl(smtpUrl);
  const sender = parseSender(from);
  const limits = { ...TIMEOUTS, ...timeouts };
  const aborting = new AbortController();
  const pool = new Pool({
    open: () => openSession(relay, limits, aborting.signal),
    maxConnections,
    idleMs,
    retryMs,
  });

  async function send(mail: Mail): Promise<Delivery>;
  async function send<Objection>(
    mail: Mail,
    objectionOf: () => Promise<Objection | undefined>,
  ): Promise<Delivery | Withheld<Objection>>;
  async function send<Objection>(
    mail: Mail,
    objectionOf?: () => Promise<Objection | undefined>,
  ): Promise<Delivery | Withheld<Objection>> {
    let raw: Buffer;
    try {
      raw = compose(mail, sender, new Date(time.epochMs()));
    } catch (cause) {
      const reason = oneLine(`the mail cannot be composed: ${cause instanceof Error ? cause.message : cause}`);
      return { kind: "failed", failure: { kind: "permanent", reason } };
    }
    let loan: Loan | undefined;
    let attempt: Attempt;
    try {
      const askedAt = time.monotonicMs();
      loan = await pool.take();
      if (loan === undefined) return STOPPED;
      const because = time.monotonicMs() - askedAt > SHORT_WAIT_MS ? await objectionOf?.() : undefined;
      if (because !== undefined) {
        void pool.giveBack(loan.session, true);
        return { kind: "withheld", because };
      }
      attempt = await loan.session.deliver(sender.address, mail.to.address, raw);
      while (!loan.fresh && wasUnfit(attempt)) {
        loan = await pool.replace(loan.session);
        if (loan === undefined) return STOPPED;
        attempt = await loan.session.deliver(sender.address, mail.to.address, raw);
      }
    } catch (error) {
      return aborting.signal.aborted ? STOPPED : classify(error as SmtpError, "opening", relay.label);
    }
    void pool.giveBack(loan.session, attempt.ok);
    if (attempt.ok) return { kind: "sent", reply: oneLine(attempt.reply) };
    const { error, phase } = attempt;
    if (aborting.signal.aborted && error.response === undefined && phase !== "dot") return STOPPED;
    return classify(error, phase, relay.label);
  }

  async function probe(): Promise<string | undefined> {
    try {
      await pool.probe();
      return undefined;
    } catch (error) {
      return reasonOf(error as SmtpError, "opening", relay.label);
    }
  }

  return {
    send,
    probe,
    close: () => pool.close(),
    abort() {
      void pool.close();
      aborting.abort();
    },
  };
}

/** What the caller knew just before the wait still holds. */
const SHORT_WAIT_MS = 20;

const STOPPED: Delivery = { kind: "relay_fault", reason: "the worker stops" };

const LOST = new Set(["ECONNECTION", "ESOCKET", "ETIMEDOUT"]);

/** True when the relay ended a kept connection as it was taken up, or was out of step: it has no content of this mail. */
function wasUnfit(attempt: Attempt): boolean {
  if (attempt.ok) return false;
  const { code, command, responseCode } = attempt.error;
  if (code === OUT_OF_STEP) return true;
  if (command === "MAIL FROM" && responseCode === 421) return true; // its goodbye crossed our MAIL
  return attempt.phase === "envelope" && code !== undefined && LOST.has(code);
}
