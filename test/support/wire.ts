/* A wire between a client and Redis that can be cut, or go dead while both ends believe that it is open. */
import { rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import type { RedisAddress } from "../../src/stream/redisUrl.ts";

export interface Wire {
  address: RedisAddress & { kind: "unix" };
  /** From now on Redis's replies are swallowed; what is sent still arrives. */
  swallowReplies(): void;
  /** Redis's replies wait until the returned function is called; what is sent still arrives. */
  holdReplies(): () => void;
  /** Existing connections go dead in both directions; new ones work. */
  freeze(): void;
  /** New connections lead to another server, as behind a name that a failover moves; existing ones stay. */
  leadTo(path: string): void;
  /** Existing connections are closed; new ones work. */
  cut(): void;
  /** Connections ever made. */
  connections: number;
  stop(): Promise<void>;
}

export async function startWire(to: string): Promise<Wire> {
  const path = to.replace(/[^/]*$/, `wire-${Bun.randomUUIDv7()}.sock`);
  let pairs: { client: Socket; redis: Socket }[] = [];
  let target = to;
  const server = createServer((client) => {
    wire.connections += 1;
    const redis = createConnection(target);
    client.pipe(redis).pipe(client);
    for (const socket of [client, redis]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        client.destroy();
        redis.destroy();
      });
    }
    pairs.push({ client, redis });
  });
  const wire: Wire = {
    address: { kind: "unix", path },
    connections: 0,
    swallowReplies() {
      for (const { client, redis } of pairs) redis.unpipe(client).on("data", () => {});
    },
    holdReplies() {
      const held = [...pairs];
      for (const { client, redis } of held) redis.unpipe(client).pause();
      return () => {
        for (const { client, redis } of held) redis.pipe(client);
      };
    },
    freeze() {
      for (const { client, redis } of pairs) {
        client.unpipe(redis).resume();
        redis.unpipe(client).resume();
      }
    },
    leadTo(other) {
      target = other;
    },
    cut() {
      for (const { client, redis } of pairs) {
        client.destroy();
        redis.destroy();
      }
      pairs = [];
    },
    async stop() {
      wire.cut();
      await new Promise((resolve) => server.close(resolve));
      rmSync(path, { force: true });
    },
  };
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return wire;
}
