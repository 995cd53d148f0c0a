/*
 * An SMTP relay that misbehaves on order. Each place of a session has a step that is taken there: one
 * step for ever, or a list that is used up over the relay's life, connection after connection, before it
 * goes back to behaving well.
 *
 *   startRelay({ data: ["451 busy", "451 busy"] })   // refuses two DATA, then takes mail
 *   startRelay({ dot: ["keep, drop"] })              // has the first mail, and closes before it says so
 */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, TLSSocket } from "node:tls";
import type { Certificate } from "./certificate.ts";

/**
 * A reply ("451 4.3.0 try later"; after 421 the connection is closed), or:
 * "drop" closes the connection, "hang" says nothing more on it; at the final dot, "keep, …" takes the mail first.
 */
export type Step = `${number} ${string}` | "drop" | "hang" | "keep, drop" | "keep, hang";

type Steps = Step | Step[];

export interface RelayScript {
  greeting?: Steps;
  ehlo?: Steps;
  starttls?: Steps;
  auth?: Steps;
  mail?: Steps;
  rcpt?: Steps;
  data?: Steps;
  /** When the first bytes of the content have come, its end has not. */
  content?: Steps;
  /** The final dot: the reply that decides. */
  dot?: Steps;
  rset?: Steps;
  quit?: Steps;
  /** What EHLO offers; PIPELINING alone by default. */
  extensions?: string[];
  tls?: { mode: "implicit" | "starttls"; certificate: Certificate };
  port?: number;
}

type Place = Exclude<keyof RelayScript, "extensions" | "tls" | "port">;

export interface ReceivedMail {
  envelope: { from: string; to: string[] };
  /** As it was sent, with the dots unstuffed. */
  raw: Buffer;
  /** Epoch ms. */
  at: number;
}

export interface FakeRelay {
  port: number;
  url: string;
  /** The mails that the relay took, whether or not it could say so. */
  received: ReceivedMail[];
  /** Every command line, in order. */
  commands: string[];
  /** Accepted so far. */
  connections: number;
  /** Open now. */
  open: number;
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

  /** The step to take at `place`; undefined: behave well. */
  const step = (place: Place): Step | undefined => {
    const steps = script[place];
    if (!Array.isArray(steps)) return steps;
    const index = used.get(place) ?? 0;
    used.set(place, index + 1);
    return steps[index];
  };

  const happened = () => {
    for (const check of watchers) check();
  };

  const accept = (socket: Socket) => {
    relay.connections++;
    relay.open++;
    sockets.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      relay.open--;
      happened();
    });
    converse(socket, script, step, relay, happened);
    happened();
  };

  const server: Server =
    script.tls?.mode === "implicit"
      ? createTlsServer({ key: script.tls.certificate.key, cert: script.tls.certificate.cert }, accept)
      : createServer(accept);
  server.on("tlsClientError", () => undefined); // a client that does not trust the certificate

  const relay: FakeRelay = {
    port: 0,
    url: "",
    received: [],
    commands: [],
    connections: 0,
    open: 0,
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

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(script.port ?? 0, "127.0.0.1", resolve);
  });
  relay.port = (server.address() as { port: number }).port;
  relay.url = `${script.tls?.mode === "implicit" ? "smtps" : "smtp"}://127.0.0.1:${relay.port}`;
  return relay;
}

function converse(
  plain: Socket,
  script: RelayScript,
  step: (place: Place) => Step | undefined,
  relay: FakeRelay,
  happened: () => void,
): void {
  let socket = plain;
  let buffer = "";
  let from = "";
  let to: string[] = [];
  let inContent = false;
  let contentSeen = false;
  let silent = false;

  const reply = (line: string) => {
    socket.write(`${line}\r\n`);
    if (line.startsWith("421")) close();
  };
  const close = () => {
    silent = true;
    socket.end();
    // Unread input would hold the FIN back, or turn it into a reset with our last reply in front of it.
    socket.resume();
  };
  const keep = (raw: string) =>
    relay.received.push({ envelope: { from, to }, raw: Buffer.from(raw, "latin1"), at: Date.now() });

  /** True when the session goes on as if nothing had been ordered. */
  const obey = (place: Place): boolean => {
    const order = step(place);
    if (order === undefined) return true;
    if (order.endsWith("drop")) {
      silent = true;
      socket.destroy();
    } else if (order.endsWith("hang")) silent = true;
    else reply(order);
    return false;
  };

  const onContent = (): boolean => {
    const end = buffer.startsWith(".\r\n") ? 0 : buffer.indexOf("\r\n.\r\n") + 2;
    if (!contentSeen) {
      contentSeen = true;
      if (script.content !== undefined && !obey("content")) {
        if (silent) socket.pause();
        return false;
      }
    }
    if (end === 1) return false;
    const raw = buffer.slice(0, end).replace(/^\.\./gm, ".");
    buffer = buffer.slice(end + 3);
    inContent = false;
    const order = step("dot");
    if (order === undefined || order.startsWith("keep") || order.startsWith("2")) keep(raw);
    if (order === undefined) reply("250 2.0.0 queued");
    else if (order.endsWith("drop")) {
      silent = true;
      socket.destroy();
    } else if (order.endsWith("hang")) silent = true;
    else reply(order);
    [from, to] = ["", []];
    return true;
  };

  const onCommand = (line: string) => {
    relay.commands.push(line);
    const verb = line.split(" ", 1)[0]?.toUpperCase() ?? "";
    if (authenticating) {
      authenticating = false;
      if (obey("auth")) reply("235 2.7.0 welcome");
      return;
    }
    switch (verb) {
      case "EHLO":
      case "HELO":
        if (obey("ehlo")) reply(ehloReply());
        return;
      case "STARTTLS":
        if (obey("starttls")) startTls();
        return;
      case "AUTH":
        if (line.split(" ").length === 2) {
          authenticating = true;
          reply("334 ");
        } else if (obey("auth")) reply("235 2.7.0 welcome");
        return;
      case "MAIL":
        if (obey("mail")) {
          from = addressIn(line);
          reply("250 2.1.0 sender ok");
        }
        return;
      case "RCPT":
        if (from === "") reply("503 5.5.1 MAIL first");
        else if (obey("rcpt")) {
          to = [...to, addressIn(line)];
          reply("250 2.1.5 recipient ok");
        }
        return;
      case "DATA":
        if (to.length === 0) reply("554 5.5.1 no valid recipients");
        else if (obey("data")) {
          inContent = true;
          contentSeen = false;
          reply("354 go ahead");
        }
        return;
      case "RSET":
        [from, to] = ["", []];
        if (obey("rset")) reply("250 2.0.0 forgotten");
        return;
      case "QUIT":
        if (obey("quit")) {
          reply("221 2.0.0 bye");
          close();
        }
        return;
      default:
        reply("502 5.5.2 what?");
    }
  };
  let authenticating = false;

  const ehloReply = () => {
    const offers = [...(script.extensions ?? ["PIPELINING"])];
    if (script.tls?.mode === "starttls" && !(socket instanceof TLSSocket)) offers.push("STARTTLS");
    return ["relay.test greets you", ...offers]
      .map((l, i, all) => `250${i === all.length - 1 ? " " : "-"}${l}`)
      .join("\r\n");
  };

  const startTls = () => {
    const certificate = script.tls?.certificate;
    if (certificate === undefined) return reply("502 5.5.1 not here");
    reply("220 2.0.0 ready");
    socket.removeAllListeners("data");
    socket = new TLSSocket(socket, { isServer: true, key: certificate.key, cert: certificate.cert });
    listen();
  };

  const onData = (chunk: Buffer) => {
    if (silent) return;
    buffer += chunk.toString("latin1");
    for (;;) {
      if (silent) break;
      if (inContent) {
        if (buffer === "" || !onContent()) break;
        continue;
      }
      const end = buffer.indexOf("\r\n");
      if (end === -1) break;
      const line = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      onCommand(line);
    }
    happened();
  };

  const listen = () => {
    socket.on("data", onData);
    socket.on("error", () => undefined); // the client went away, as it may
  };

  listen();
  if (obey("greeting")) reply("220 relay.test ESMTP");
}

function addressIn(line: string): string {
  return /<([^>]*)>/.exec(line)?.[1] ?? "";
}
