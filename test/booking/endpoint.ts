/* A team's status endpoint that answers on order, byte for byte, and keeps what it was asked. */
import { createServer, type Socket } from "node:net";
import { freePort } from "../support/freePort.ts";

/** The whole response, or what is done with the connection. */
export type Answer = string | ((socket: Socket) => void);

interface Asked {
  /** "GET /bookings/BK-1/status HTTP/1.1" */
  line: string;
  /** By lower-case name. */
  headers: Record<string, string>;
}

export interface Endpoint {
  /** "http://127.0.0.1:…", without a slash at its end. */
  origin: string;
  answer: Answer;
  asked: Asked[];
  /** Connections that are open now. */
  open(): number;
  /** Nobody listens, until start(). */
  stop(): Promise<void>;
  /** On the same port. */
  start(): Promise<void>;
}

export function reply(status: string, body: string, ...headers: string[]): string {
  const all = [`HTTP/1.1 ${status}`, `content-length: ${Buffer.byteLength(body)}`, ...headers];
  return `${all.join("\r\n")}\r\n\r\n${body}`;
}

export function json(body: unknown): string {
  return reply("200 OK", JSON.stringify(body), "content-type: application/json");
}

export async function startEndpoint(): Promise<Endpoint> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined); // the client went away, as it may
    let unread = "";
    socket.on("data", (chunk: Buffer) => {
      unread += chunk.toString("latin1");
      const end = unread.indexOf("\r\n\r\n");
      if (end === -1) return;
      endpoint.asked.push(parse(unread.slice(0, end)));
      unread = unread.slice(end + 4);
      if (typeof endpoint.answer === "string") socket.write(endpoint.answer);
      else endpoint.answer(socket);
    });
  });

  const port = freePort();
  const start = () =>
    new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
  await start();

  const endpoint: Endpoint = {
    origin: `http://127.0.0.1:${port}`,
    answer: json({ status: "paid" }),
    asked: [],
    open: () => sockets.size,
    start,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return endpoint;
}

function parse(head: string): Asked {
  const [line = "", ...fields] = head.split("\r\n");
  const headers = fields.map((field) => {
    const colon = field.indexOf(":");
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
  });
  return { line, headers: Object.fromEntries(headers) };
}
