/* JSON lines on stdout. No transports: they are worker threads that hang at exit. */
import pino, { type DestinationStream, type Logger } from "pino";

export interface LogOptions {
  level: string;
  /** Addresses and names as they are, instead of masked. */
  plain: boolean;
  destination: DestinationStream;
}

const ADDRESS = /([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-])[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]*@([A-Za-z0-9.-]+)/g;

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

function errorOf(plain: boolean) {
  return (error: unknown) => {
    const { message, stack, ...rest } = pino.stdSerializers.err(error as Error);
    return plain
      ? { ...rest, message, stack }
      : { type: rest.type, message: maskAddresses(message), stack: maskAddresses(stack) };
  };
}
