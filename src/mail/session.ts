/*
 * One connection to the relay, and how far the transaction on it got. Nodemailer's SMTPConnection does
 * the talking: TLS, AUTH, EHLO, PIPELINING, dot-stuffing. What it leaves to its caller is told here:
 * a connection lost before the session is ready, or closed without an error, calls nobody back.
 */
import { Readable } from "node:stream";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import type { Phase, SmtpError } from "./classify.ts";
import type { Relay } from "./smtpUrl.ts";

export interface Timeouts {
  /** From the DNS lookup to the end of STARTTLS. */
  connectionMs: number;
  /** Each reply until the session is ready, and to RSET. */
  greetingMs: number;
  /** MAIL, RCPT and DATA. RFC 5321 4.5.3.2 asks for 5 min. */
  commandMs: number;
  /** The content and the reply to the final dot. RFC 5321 4.5.3.2.6 asks for 10 min: less makes duplicates. */
  replyMs: number;
}

export type Attempt = { ok: true; reply: string } | { ok: false; error: SmtpError; phase: Phase };

export interface Session {
  /** One at a time. Never rejects. */
  deliver(from: string, to: string, raw: Buffer): Promise<Attempt>;
  /** Ends a refused transaction (RSET); false when the connection is of no more use. */
  reset(): Promise<boolean>;
  /** Says goodbye, and does not wait long for an answer. */
  quit(): Promise<void>;
  /** The connection is gone. */
  readonly ended: boolean;
}

/** Above this size, whether the end of the content was handed over can be told from its beginning. */
const CHUNK_BYTES = 65_536;

const QUIT_MS = 2_000;

/** @throws SmtpError when no session could be opened */
export function openSession(relay: Relay, timeouts: Timeouts): Promise<Session> {
  const connection = new SMTPConnection({
    ...relay.connection,
    connectionTimeout: timeouts.connectionMs,
    greetingTimeout: timeouts.greetingMs,
    dnsTimeout: timeouts.connectionMs,
    socketTimeout: timeouts.greetingMs,
  });
  return new Promise((resolve, reject) => {
    // Stays for the whole session: an error of a connection that is idle must find a listener.
    connection.on("error", reject);
    connection.once("end", () => reject(lost()));
    connection.connect((error) => {
      if (error) return reject(error);
      // Without AUTH in its EHLO reply a relay, or a catcher, takes mail from anybody, or says 530 at MAIL.
      if (relay.auth === undefined || !connection.allowsAuth) return resolve(sessionOf(connection, timeouts));
      const { user, pass, method } = relay.auth;
      connection.login({ credentials: { user, pass }, user, method }, (failure) => {
        if (!failure) return resolve(sessionOf(connection, timeouts));
        reject(failure);
        connection.close();
      });
    });
  });
}

function sessionOf(connection: SMTPConnection, timeouts: Timeouts): Session {
  let ended = false;
  let onLost: (() => void) | undefined;
  connection.once("end", () => {
    ended = true;
    // A send that fails closes the connection first and is told why right after: let it go first.
    queueMicrotask(() => onLost?.());
  });

  const allow = (ms: number) => {
    if (connection._socket) connection._socket.setTimeout(ms);
  };

  return {
    get ended() {
      return ended;
    },

    deliver(from, to, raw) {
      return new Promise((resolve) => {
        let phase: Phase = "envelope";
        const fail = (error: SmtpError) => {
          const answered = phase === "envelope" && connection.lastServerResponse !== false;
          resolve({ ok: false, error, phase: answered ? "answered" : phase });
          // Answered in the middle of the content: what else is said here would be read as more of it.
          if (phase === "content") connection.close();
        };
        onLost = () => fail(lost());
        connection.lastServerResponse = false;
        allow(timeouts.commandMs);
        const content = contentOf(raw, (reached) => {
          if (phase === "envelope") allow(timeouts.replyMs);
          phase = reached;
        });
        connection.send({ from, to: [to], size: raw.length }, content, (error, info) => {
          if (error) fail(error);
          else resolve({ ok: true, reply: info?.response ?? "" });
        });
      });
    },

    reset() {
      return new Promise((resolve) => {
        onLost = () => resolve(false);
        if (ended) return resolve(false);
        allow(timeouts.greetingMs);
        connection.reset((error) => resolve(!error));
      });
    },

    quit() {
      return new Promise((resolve) => {
        onLost = resolve;
        if (ended) return resolve();
        const timer = setTimeout(() => connection.close(), QUIT_MS);
        connection.once("end", () => clearTimeout(timer));
        connection.quit();
      });
    },
  };
}

/** SMTPConnection reads it once the relay has answered DATA with 354, and only as fast as the relay takes it. */
function contentOf(raw: Buffer, onPhase: (phase: "content" | "dot") => void): Readable {
  let at = 0;
  return new Readable({
    read() {
      const chunk = raw.subarray(at, at + CHUNK_BYTES);
      at += chunk.length;
      onPhase(at < raw.length ? "content" : "dot");
      this.push(chunk);
      if (at >= raw.length) this.push(null);
    },
  });
}

function lost(): SmtpError {
  return Object.assign(new Error("connection closed"), { code: "ECONNECTION" });
}
