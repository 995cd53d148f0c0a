/*
 * What a failed SMTP transaction means, decided once, from data.
 *
 *   relay_fault  nothing of this message was taken, and another message would fare the same
 *   permanent    the relay refused this message: 5yz (RFC 5321 4.2.1)
 *   transient    the relay refused it for now: 4yz, or gave up before it had all of it
 *   ambiguous    the final dot may have reached the relay, its answer did not reach us (RFC 1047)
 */
import type { Delivery } from "./mailer.ts";

/** How far a transaction got before it failed. */
export type Phase =
  /** Connecting, greeting, EHLO, STARTTLS, AUTH: no transaction yet. */
  | "opening"
  /** The envelope was sent, the relay has answered none of it. */
  | "envelope"
  /** The relay has answered some of the envelope, and has not asked for the content. */
  | "answered"
  /** The content is on its way, its end is not. */
  | "content"
  /** The final dot may have been written. */
  | "dot";

/** The fields of nodemailer's errors that tell one failure from another. */
export interface SmtpError {
  message: string;
  /** Nodemailer's: ECONNECTION, ETIMEDOUT, EENVELOPE … */
  code?: string | undefined;
  /** The system's, where there is one: ECONNREFUSED … */
  originalCode?: string | undefined;
  timeoutType?: string | undefined;
  command?: string | undefined;
  /** The relay's reply and its code. */
  response?: string | undefined;
  responseCode?: number | undefined;
}

/** RFC 4954 6: the relay wants other credentials, or any. */
const AUTH_REPLIES = new Set([530, 534, 535, 538]);

/** RFC 5321 4.2.2: bad sequence of commands. It is about the session, so another one may do. */
const BAD_SEQUENCE = 503;

/** RFC 5321 3.8: the relay is closing down, whatever it was asked. */
const CLOSING = 421;

const MAX_LENGTH = 500;

/** @param label the relay as people know it, "mail.example.com:587" */
export function classify(error: SmtpError, phase: Phase, label: string): Exclude<Delivery, { kind: "sent" }> {
  const reason = reasonOf(error, phase, label);
  const kind = kindOf(error, phase);
  if (kind === "relay_fault")
    return mayBeTheMessages(error, phase) ? { kind, reason, suspect: true } : { kind, reason };
  return { kind: "failed", failure: { kind, reason } };
}

function kindOf(error: SmtpError, phase: Phase): "relay_fault" | "permanent" | "transient" | "ambiguous" {
  const { code, responseCode: reply } = error;
  if (phase === "opening") return "relay_fault";
  if (reply !== undefined && reply >= 400 && reply <= 599 && code !== "EPROTOCOL") {
    if (reply === CLOSING || AUTH_REPLIES.has(reply) || refusesSender(error)) return "relay_fault";
    return reply >= 500 && reply !== BAD_SEQUENCE && !isMailboxFull(error) ? "permanent" : "transient";
  }
  // Refused by nodemailer before anything was written, as a mail over the relay's SIZE is: the relay said nothing.
  const isOurs = error.response === undefined && reply === undefined;
  if ((code === "EENVELOPE" || code === "EMESSAGE") && isOurs && phase !== "dot") return "permanent";
  // biome-ignore lint/nursery/useExhaustiveSwitchCases: "opening" has left above, which the compiler knows
  switch (phase) {
    case "envelope":
      return "relay_fault";
    case "answered":
    case "content":
      return "transient";
    case "dot":
      return "ambiguous";
  }
}

/**
 * Closed on in an open session: some relays do that to one recipient or content, time and again. What is wrong
 * with our credentials or our sender, which all that MAIL tells, is the same for each message.
 */
function mayBeTheMessages({ command, responseCode }: SmtpError, phase: Phase): boolean {
  if (phase === "opening") return false;
  return responseCode === undefined || (responseCode === CLOSING && command !== "MAIL FROM");
}

/** 550 5.7.x at MAIL: the relay does not let us send as MAIL_FROM, so it will refuse every message. */
function refusesSender({ command, responseCode, response }: SmtpError): boolean {
  return command === "MAIL FROM" && responseCode === 550 && /^550[ -]5\.7\.\d/.test(response ?? "");
}

/** RFC 3463 3.3, X.2.2: persons empty their mailboxes, so it is worth some more tries. */
function isMailboxFull({ response }: SmtpError): boolean {
  return /^5\d\d[ -]5\.2\.2\b/.test(response ?? "");
}

const PLACE = {
  opening: "before the session was ready",
  envelope: "before it answered MAIL FROM",
  answered: "before it asked for the content",
  content: "while the content was sent",
  dot: "after the final dot, before its reply",
} as const satisfies Record<Phase, string>;

/** One line: the relay's own words where it said any. */
export function reasonOf(error: SmtpError, phase: Phase, label: string): string {
  return oneLine(error.response ?? sentenceOf(error, phase, label));
}

function sentenceOf(error: SmtpError, phase: Phase, label: string): string {
  switch (error.code) {
    case "EDNS":
      return `no address found for ${label} (${error.originalCode ?? error.message})`;
    case "ETLS":
      return `no TLS with ${label}: ${error.message}`;
    case "EAUTH":
      return `no login at ${label}: ${error.message}`;
    case "EENVELOPE":
    case "EMESSAGE":
      return error.message;
    case "ETIMEDOUT":
      if (error.timeoutType === "CONNECT_TIMEOUT") return `no connection to ${label} within the time allowed`;
      return `${label} did not answer in time, ${PLACE[phase]}`;
    case "ESOCKET":
      if (error.originalCode === "ECONNREFUSED") return `connection refused by ${label}`;
      return `connection to ${label} failed ${PLACE[phase]}: ${error.message}`;
    case "ECONNECTION":
      return `connection closed by ${label} ${PLACE[phase]}`;
    default:
      return `${error.message} (${label}, ${PLACE[phase]})`;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: taking them out is the point
const BREAKS = /[\u0000-\u001f\u007f\u0085\u2028\u2029]+/g;

/** As it can stand in a log line and a timeline. */
export function oneLine(text: string): string {
  return text.replace(BREAKS, " ").trim().slice(0, MAX_LENGTH);
}
