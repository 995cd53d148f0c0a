/* A front of a relay that takes only so many connections at a time. */
import { connect, createServer } from "node:net";

export interface Front {
  url: string;
  /** Connections turned away. */
  refused: number;
  stop(): Promise<void>;
}

/** @param refusal what is said to a connection too many; undefined: it is closed without a word */
export async function startFront(relayPort: number, limit: number, refusal: string | undefined): Promise<Front> {
  let open = 0;
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    if (open >= limit) {
      front.refused++;
      if (refusal === undefined) socket.destroy();
      else socket.end(`${refusal}\r\n`);
      return;
    }
    open++;
    const relay = connect(relayPort, "127.0.0.1");
    relay.on("error", () => socket.destroy());
    socket.pipe(relay).pipe(socket);
    socket.once("close", () => {
      open--;
      relay.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const front: Front = {
    url: `smtp://127.0.0.1:${(server.address() as { port: number }).port}`,
    refused: 0,
    stop: () => new Promise((resolve) => server.close(() => resolve())),
  };
  return front;
}
