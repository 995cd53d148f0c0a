/*
 * A producer on kept-alive connections, straight on the socket: fetch hands each request to another thread
 * and back, which on a busy machine would be measured too.
 */
import type { Socket } from "bun";
import type { Event } from "../../src/domain/event.ts";

export interface Poster {
  /** @throws when the reply is not a 202 */
  post(event: Event): Promise<{ messageId: string; ms: number }>;
  close(): void;
}

interface Exchange {
  text: string;
  done: (body: string) => void;
  failed: (error: Error) => void;
}

export function openPoster(port: number, key: string): Poster {
  const idle: Socket<Exchange | undefined>[] = [];
  const open = new Set<Socket<Exchange | undefined>>();

  function dial(): Promise<Socket<Exchange | undefined>> {
    return Bun.connect<Exchange | undefined>({
      hostname: "127.0.0.1",
      port,
      data: undefined,
      socket: {
        open: (socket) => void open.add(socket),
        data(socket, chunk) {
          const exchange = socket.data;
          if (exchange === undefined) return;
          exchange.text += chunk.toString("latin1");
          const body = bodyOf(exchange.text);
          if (body === undefined) return;
          socket.data = undefined;
          idle.push(socket);
          if (exchange.text.startsWith("HTTP/1.1 202")) exchange.done(body);
          else exchange.failed(new Error(exchange.text));
        },
        close(socket) {
          open.delete(socket);
          if (idle.includes(socket)) idle.splice(idle.indexOf(socket), 1);
          socket.data?.failed(new Error("the service closed the connection"));
        },
      },
    });
  }

  return {
    async post(event) {
      const body = Buffer.from(JSON.stringify(event));
      const head = `POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
      const request = Buffer.concat([Buffer.from(head), body]);
      const socket = idle.shift() ?? (await dial());
      const startedAt = performance.now();
      const reply = await new Promise<string>((done, failed) => {
        socket.data = { text: "", done, failed };
        socket.write(request);
      });
      return { messageId: JSON.parse(reply).id, ms: performance.now() - startedAt };
    },
    close() {
      for (const socket of open) socket.end();
    },
  };
}

/** The body when it is complete. */
function bodyOf(text: string): string | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return undefined;
  const length = Number(/content-length: (\d+)/i.exec(text)?.[1]);
  return text.length >= end + 4 + length ? text.slice(end + 4) : undefined;
}

/** Calls `each` at an even pace, whether or not the earlier calls have ended; resolves with what they gave. */
export async function pace<T>(perSecond: number, seconds: number, each: (i: number) => Promise<T>): Promise<T[]> {
  const startedAt = performance.now();
  const calls: Promise<T>[] = [];
  for (let i = 0; i < perSecond * seconds; i++) {
    const waitMs = startedAt + (i * 1000) / perSecond - performance.now();
    if (waitMs > 0) await Bun.sleep(waitMs);
    calls.push(each(i));
  }
  return Promise.all(calls);
}
