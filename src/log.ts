/* JSON lines on stdout. No transports: they are worker threads that hang at exit. */
import pino, { type DestinationStream, type Logger } from "pino";

export interface LogOptions {
  level: string;
  /** Addresses and names as they are, instead of masked. */
  plain: boolean;
  destination: DestinationStream;
}

/**
 * A file or descriptor for the log, written in the background: what comes in one turn of the event loop is one
 * write. `flushSync` before the process ends, or the last lines are lost.
 */
export function openDestination(dest: number | string): DestinationStream & { flushSync(): void } {
  const file = pino.destination({ dest, sync: false });
  let lines = "";
  function pass(): void {
    if (lines !== "") file.write(lines);
    lines = "";
  }
  return {
    write(line) {
      if (lines === "") setImmediate(pass);
      lines += line;
    },
    flushSync() {
      pass();
      file.flushSync();
    },
  };
}

/** An atom of an address begins at most 64 characters before its @ (RFC 5321 4.5.3.1.1). */
const ADDRESS =
  /(?<![A-Za-z0-9!#$%&'*+/=?^_`{|}~.-])([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-])[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{0,63}@([A-Za-z0-9.-]{1,255})/g;

/** "an@example.com" becomes "a***@example.com", wherever it stands in a text. */
export function maskAddresses(text: string): string {
  return text.replace(ADDRESS, "$1***@$2");
}

/** What a relay or an error says may hold addresses: those fields are masked as they are written. */
export function createLog({ level, plain, destination }: LogOptions): Logger {
  const mask = (value: unknown) => (typeof value === "string" ? maskAddresses(value) : value);
  const serializers = plain ? {} : { reason: mask, reply: mask, recipient: mask };
  return pino({ level, base: null, serializers: { ...serializers, err: errorOf(plain) } }, destination);
}

/** What is thrown may be anything. */
function errorOf(plain: boolean) {
  const mask = (text: unknown) => (plain || typeof text !== "string" ? text : maskAddresses(text));
  return (thrown: unknown) => {
    if (!(thrown instanceof Error))
      return { thrown: mask(typeof thrown === "object" ? JSON.stringify(thrown) : String(thrown)) };
    const { type, message, stack, code } = pino.stdSerializers.err(thrown) as Record<string, unknown>;
    return { type, code, message: mask(message), stack: mask(stack) };
  };
}
