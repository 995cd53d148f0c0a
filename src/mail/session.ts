/*
 * One connection to the relay, and how far the transaction on it got. Nodemailer's SMTPConnection does
 * the talking: TLS, AUTH, EHLO, PIPELINING, dot-stuffing. What it leaves to its caller is told here:
 * a connection that is closed without an error, or lost before its session is ready, calls nobody back;
 * and under Bun a socket's own timeout does not fire while a write is held up by a relay that stopped
 * reading, so the times allowed are kept here.
 */
import type { Socket } from "node:net";
import { Readable } from "node:stream";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import { type Timer, time } from "../domain/time.ts";
import type { Phase, SmtpError } from "./classify.ts";
import type { Relay } from "./smtpUrl.ts";

export interface Timeouts {
  /** From the DNS lookup to the end of STARTTLS. */
  connectionMs: number;
  /** The greeting; EHLO and AUTH may take as long again; RSET. */
  greetingMs: number;
  /** MAIL, RCPT and DATA. RFC 5321 4.5.3.2 asks for 5 min. */
  commandMs: number;
  /** The content and the reply to the final dot. RFC 5321 4.5.3.2.6 asks for 10 min: less makes duplicates. */
  replyMs: number;
}

export type Attempt = { ok: true; reply: string } | { ok: false; error: SmtpError; phase: Phase };

/** Takes one exchange at a time; none of them rejects. */
export interface Session {
  deliver(from: string, to: string, raw: Buffer): Promise<Attempt>;
  /** Ends a refused transaction (RSET); false when the connection is of no more use. */
  reset(): Promise<boolean>;
  /** Says goodbye, and does not wait long for an answer. */
  quit(): Promise<void>;
  /** The connection is gone. */
  readonly ended: boolean;
}

/** Of a mail above this size it can be told whether its end was handed over, or only its beginning. */
const CHUNK_BYTES = 65_536;

const QUIT_MS = 2_000;

/** Code of an error: the relay answered DATA with something else than 354. */
export const OUT_OF_STEP = "EOUTOFSTEP";

/** Never the first to fire. */
const SOCKET_TIMEOUT_MS = 86_400_000;

/**
 * @param signal drops the connection, whatever it is at
 * @throws SmtpError when no session could be opened
 */
export function openSession(relay: Relay, timeouts: Timeouts, signal: AbortSignal): Promise<Session> {
  if (signal.aborted) return Promise.reject(lost());
  const connection = new SMTPConnection({
    ...relay.connection,
    connectionTimeout: timeouts.connectionMs,
    greetingTimeout: timeouts.greetingMs,
    dnsTimeout: timeouts.connectionMs,
    socketTimeout: SOCKET_TIMEOUT_MS,
    socketCloseTimeout: QUIT_MS,
  });
  return new Promise<Session>((resolve, reject) => {
    const timer = time.after(timeouts.connectionMs + timeouts.greetingMs, () => fail(late()));
    const fail = (error: SmtpError) => {
      timer.cancel();
      reject(relay.guardsPassword ? explained(error) : error);
      connection.close();
    };
    const ready = () => {
      timer.cancel();
      resolve(sessionOf(connection, timeouts));
    };
    // Stays for the whole session: an error of a connection that is idle must find a listener.
    connection.on("error", fail);
    const drop = () => fail(lost());
    signal.addEventListener("abort", drop);
    connection.once("end", () => {
      signal.removeEventListener("abort", drop);
      fail(lost());
    });
    connection.connect((error) => {
      if (error) return fail(error);
      // A relay that offers no AUTH takes mail from us as we are, or says 530 at MAIL.
      if (relay.auth === undefined || !connection.allowsAuth) return ready();
      const { user, pass, method } = relay.auth;
      connection.login({ user, method, credentials: { user, pass } }, (refusal) => (refusal ? fail(refusal) : ready()));
    });
  });
}

/** Nodemailer says STARTTLS also where it is not offered, and the relay's "502 what?" would explain nothing. */
function explained(error: SmtpError): SmtpError {
  if (error.command !== "STARTTLS" || typeof error.response !== "string") return error;
  const answer = `the relay answers STARTTLS with "${error.response}"`;
  return { message: `${answer}, and a password is not sent in the clear (unless requireTLS=false)`, code: "ETLS" };
}

function sessionOf(connection: SMTPConnection, timeouts: Timeouts): Session {
  let ended = false;
  let fail: ((error: SmtpError) => void) | undefined;
  let timer: Timer | undefined;

  // A send that fails closes the connection first and is told why right after: let it go first.
  connection.once("end", () => {
    ended = true;
    queueMicrotask(() => fail?.(lost()));
  });

  const allow = (ms: number) => {
    timer?.cancel();
    timer = time.after(ms, () => {
      fail?.(late());
      connection.close();
    });
  };

  /** Ends with what the relay said, with the connection, or when its time is up. */
  const exchange = <T>(ms: number, start: (end: (result: T) => void) => void, failed: (error: SmtpError) => T) =>
    new Promise<T>((resolve) => {
      const end = (result: T) => {
        timer?.cancel();
        fail = undefined;
        resolve(result);
      };
      fail = (error) => end(failed(error));
      if (ended) return fail(lost());
      allow(ms);
      start(end);
    });

  return {
    get ended() {
      return ended;
    },

    deliver(from, to, raw) {
      let phase: Phase = "envelope";
      const failed = (error: SmtpError): Attempt => {
        const answered = phase === "envelope" && connection.lastServerResponse !== false;
        // Refused in the middle of the content: all that is said now would be read as more of it.
        if (phase === "content") connection.close();
        return { ok: false, error, phase: answered ? "answered" : phase };
      };
      const content = contentOf(raw, (reached) => {
        if (phase === "envelope") {
          const answer = String(connection.lastServerResponse);
          // An answer to something else. Nodemailer takes any 2yz, and the content's would be the next one's.
          if (!answer.startsWith("354")) {
            fail?.({ message: `DATA is answered with ${JSON.stringify(answer)}`, code: OUT_OF_STEP });
            connection.close();
            return false;
          }
          allow(timeouts.replyMs);
        }
        phase = reached;
        if (reached === "dot") inOnePacket(connection._socket);
        return true;
      });
      connection.lastServerResponse = false;
      return exchange<Attempt>(
        timeouts.commandMs,
        (end) => {
          connection.send({ from, to: [to], size: raw.length }, content, (error, info) =>
            end(error ? failed(error) : { ok: true, reply: info?.response ?? "" }),
          );
        },
        failed,
      );
    },

    reset() {
      return exchange<boolean>(
        timeouts.greetingMs,
        (end) => connection.reset((error) => end(!error)),
        () => false,
      );
    },

    quit() {
      return exchange<void>(
        QUIT_MS,
        () => connection.quit(),
        () => undefined,
      );
    },
  };
}

/** SMTPConnection reads it once the relay has answered DATA, and only as fast as the relay takes it. */
function contentOf(raw: Buffer, mayGoOn: (phase: "content" | "dot") => boolean): Readable {
  let at = 0;
  return new Readable({
    read() {
      const chunk = raw.subarray(at, at + CHUNK_BYTES);
      at += chunk.length;
      if (!mayGoOn(at < raw.length ? "content" : "dot")) {
        this.destroy();
        return;
      }
      this.push(chunk);
      if (at >= raw.length) this.push(null);
    },
  });
}

/** What is written before this turn of the event loop ends: the final dot does not travel behind its content alone. */
function inOnePacket(socket: Socket | false | null): void {
  if (!socket) return;
  socket.cork();
  time.nextTurn(() => socket.uncork());
}

function lost(): SmtpError {
  return { message: "connection closed", code: "ECONNECTION" };
}

function late(): SmtpError {
  return { message: "timeout", code: "ETIMEDOUT" };
}
