/* JSON lines on stdout. No transports: they are worker threads that hang at exit. */
import pino, { type DestinationStream, type Logger } from "pino";

export interface LogOptions {
  /** Whose line it is: service and worker write to the same stdout. */
  by: "service" | "worker";
  level: string;
  /** Addresses as they are, instead of masked. */
  plain: boolean;
  destination: DestinationStream;
}

/**
 * A local part is an atom with dots, or quoted, and has at most 64 characters (RFC 5321 4.1.2, 4.5.3.1.1); what
 * follows the @ is a domain, whose labels may be in any script (RFC 6531), or an address literal.
 */
const ADDRESS =
  /(?:"((?:[^"\\\r\n]|\\[^\r\n]){1,128})"|(?<![A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\uffff-])([A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\uffff-])[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\u0080-\uffff-]{0,63})@(\[[^\]\s]{1,255}\]|[A-Za-z0-9.\u0080-\uffff-]{1,255})/g;

/** "an@example.com" becomes "a***@example.com", wherever it stands in a text, and an address literal "[***]". */
export function maskAddresses(text: string): string {
  if (!text.includes("@")) return text;
  return text.replace(ADDRESS, (_, quoted: string | undefined, first: string | undefined, domain: string) => {
    return `${quoted?.[0] ?? first}***@${domain.startsWith("[") ? "[***]" : domain}`;
  });
}

/** What a relay or an error says may hold addresses: those fields are masked as they are written. */
export function createLog({ by, level, plain, destination }: LogOptions): Logger {
  const mask = (value: unknown) => (typeof value === "string" ? maskAddresses(value) : value);
  const serializers = plain ? {} : { reason: mask, reply: mask, recipient: mask, eventId: mask };
  return pino({ level, base: { by }, serializers: { ...serializers, err: errorOf(plain) } }, destination);
}

/** What is thrown may be anything. */
function errorOf(plain: boolean) {
  const mask = (text: unknown) => (plain || typeof text !== "string" ? text : maskAddresses(text));
  return (thrown: unknown) => {
    if (!(thrown instanceof Error))
      return { thrown: mask(typeof thrown === "object" ? JSON.stringify(thrown) : String(thrown)) };
    const { type, message, stack, code } = pino.stdSerializers.err(thrown) as Record<string, unknown>;
    return { type, code: mask(code), message: mask(message), stack: mask(stack) };
  };
}
