/**
 * A port that nobody has now, nor the one 10,000 above it, where a Redis Cluster node has its bus. Both lie below
 * those that kernels choose from (32768 on Linux): no outgoing connection takes them meanwhile, and none that has
 * ended still holds them in TIME_WAIT, which no SO_REUSEADDR of a server helps against.
 */
export function freePort(): number {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 12_000);
    if (isFree(port) && isFree(port + 10_000)) return port;
  }
}

function isFree(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
}
