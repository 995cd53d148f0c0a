/*
 * An SMTP relay that misbehaves on order. Each place of a session has a step that is taken there: one
 * step for ever, or a list that is used up over the relay's life, connection after connection, before it
 * goes back to behaving well.
 *
 *   startRelay({ data: ["451 busy", "451 busy"] })   // refuses two DATA, then takes mail
 *   startRelay({ dot: ["keep, drop"] })              // has the first mail, and closes before it says so
 */
import { createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Certificate } from "./certificate.ts";
import { freePort } from "./freePort.ts";
import { converse } from "./relaySession.ts";

/**
 * A reply ("451 4.3.0 try later"; after 421 the connection is closed), or: "ok" behaves well, "drop" closes
 * the connection, "hang" says nothing more on it; at the final dot, "keep, …" takes the mail first.
 */
export type Step = Reply | NoReply | "ok" | "drop" | "hang" | "keep, drop" | "keep, hang";
type Reply = `${number}${" " | "-"}${string}`;
/** Lines without a reply's code. */
type NoReply = "hello there" | "<html>500</html>" | "HTTP/1.1 400 Bad Request";

/** `content`: the first bytes of it have come. `dot`: all of it has, and the reply decides. */
export type Place =
  | "greeting"
  | "ehlo"
  | "starttls"
  | "auth"
  | "mail"
  | "rcpt"
  | "data"
  | "content"
  | "dot"
  | "rset"
  | "quit";

export interface RelayScript extends Partial<Record<Place, Step | Step[]>> {
  /** What EHLO offers; PIPELINING alone by default. */
  extensions?: string[];
  tls?: { mode: "implicit" | "starttls"; certificate: Certificate };
  /** A free one by default. */
  port?: number;
}

export interface ReceivedMail {
  envelope: { from: string; to: string[] };
  /** As it was meant, with the dots unstuffed. */
  raw: Buffer;
  /** Epoch ms. */
  at: number;
}

export interface FakeRelay {
  port: number;
  /** For SMTP_URL. */
  url: string;
  /** The mails that the relay took, whether or not it got to say so. */
  received: ReceivedMail[];
  /** Every command line, in order. */
  commands: string[];
  /** Accepted so far. */
  connections: number;
  /** Open now, and the most that ever were. */
  open: number;
  mostOpen: number;
  /** Times that it was told to hang. */
  silent: number;
  /** Resolves when `holds` is true; it is asked again whenever something has happened here. */
  until(holds: (relay: FakeRelay) => boolean): Promise<void>;
  /** Closes what is open, saying `goodbye` first if there is one: an idle timeout, a restart. */
  closeConnections(goodbye?: string): void;
  stop(): Promise<void>;
}

const WAIT_MS = 10_000;

export async function startRelay(script: RelayScript = {}): Promise<FakeRelay> {
  const sockets = new Set<Socket>();
  const watchers = new Set<() => void>();
  const used = new Map<Place, number>();
  const happened = () => {
    for (const check of watchers) check();
  };

  const accept = (socket: Socket) => {
    relay.connections++;
    relay.open++;
    relay.mostOpen = Math.max(relay.mostOpen, relay.open);
    sockets.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      relay.open--;
      happened();
    });
    converse(socket, {
      extensions: script.extensions ?? ["PIPELINING"],
      tls: script.tls,
      next(place) {
        const steps = script[place] ?? "ok";
        if (!Array.isArray(steps)) return steps;
        const index = used.get(place) ?? 0;
        used.set(place, index + 1);
        return steps[index] ?? "ok";
      },
      keep: (mail) => relay.received.push(mail),
      heard: (line) => relay.commands.push(line),
      hung() {
        relay.silent++;
        happened();
      },
      happened,
    });
    happened();
  };

  const port = script.port ?? freePort();
  const { certificate, mode } = script.tls ?? {};
  const server = mode === "implicit" ? createTlsServer({ ...certificate }, accept) : createServer(accept);
  server.on("tlsClientError", () => undefined); // a client that does not trust the certificate
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });

  const relay: FakeRelay = {
    port,
    url: `${mode === "implicit" ? "smtps" : "smtp"}://127.0.0.1:${port}`,
    received: [],
    commands: [],
    connections: 0,
    open: 0,
    mostOpen: 0,
    silent: 0,
    until(holds) {
      return new Promise((resolve, reject) => {
        const check = () => {
          if (!holds(relay)) return;
          clearTimeout(timer);
          watchers.delete(check);
          resolve();
        };
        const timer = setTimeout(() => {
          watchers.delete(check);
          reject(new Error(`the relay never got there: ${holds}\n${relay.commands.join("\n")}`));
        }, WAIT_MS);
        watchers.add(check);
        check();
      });
    },
    closeConnections(goodbye) {
      for (const socket of sockets) {
        if (goodbye === undefined) socket.destroy();
        else socket.end(`${goodbye}\r\n`);
      }
    },
    stop() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      });
    },
  };
  return relay;
}
