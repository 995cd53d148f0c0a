/* Which errors mean that Redis cannot do it now, as opposed to a bug of ours. */
import { slotOf } from "./keys.ts";

/** Redis is not there, or is there and cannot take writes. The same call later is safe. */
export class RedisAway extends Error {
  override name = "RedisAway";
}

/**
 * A cluster moves the slot of a partition to another node, or somebody has left it half moved. The partition's keys are
 * there, and can be read one by one; no script starts before all of them are on one node.
 */
export class SlotMoves extends RedisAway {
  override name = "SlotMoves";

  /** @param tag of the partition, where it is known */
  constructor(tag: string | undefined, options?: ErrorOptions) {
    const what =
      tag === undefined ? "a partition's slot" : `slot ${slotOf(tag)} of partition ${/\d+/.exec(tag)?.[0] ?? tag}`;
    super(`${what} is being moved to another node (if nobody moves it: redis-cli --cluster fix)`, options);
  }
}

/** Redis is full, as a RedisAway says it. What decides or ends a message is taken all the same: script.ts. */
export const OUT_OF_MEMORY = /\bOOM\b/;

/** Replies that start so are about the server's condition, not about the command. */
const CONDITIONS =
  /^(?:MISCONF|READONLY|NOREPLICAS|OOM|LOADING|BUSY |CLUSTERDOWN|MASTERDOWN|TRYAGAIN|UNBLOCKED|NOAUTH|WRONGPASS|NOPERM|ERR max number of clients|ERR WAIT cannot be used with replica)/;

/** As a script's error quotes them. */
const CONDITION_INSIDE = /\b(?:MISCONF|READONLY|NOREPLICAS|OOM)\b/;

const CONNECTION =
  /ECONN|EPIPE|ENOENT|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|Too many Cluster redirections|EAI_AGAIN|All sentinels are unreachable|Failed to refresh slots|None of startup nodes|Cluster isn't ready|Cluster is ended/;

export const NO_ANSWER = "Redis did not answer in time";

/** How ioredis says it. */
const NOT_CONNECTED = /Connection is closed|connection close|Stream isn't writeable|max retries per request/;
const TIMED_OUT = /^(?:Blocking c|C)ommand timed out|^Socket timeout/;

/**
 * How a cluster says that a slot is on its way to another node, or was left so. While one moves, the client is sent from
 * ASK to TRYAGAIN and, by way of any other node, over MOVED to ASK again: any of them may be the last.
 */
const MOVING = /^(?:TRYAGAIN|ASK) |Last error: (?:ReplyError: )?(?:TRYAGAIN|ASK|MOVED) /;
const OTHER_OWNER = /^MOVED /;

/** A RedisAway or a SlotMoves; undefined when the error means something else. */
export function awayOf(error: unknown, tag?: string): RedisAway | undefined {
  if (!(error instanceof Error)) return undefined;
  if (MOVING.test(error.message)) return new SlotMoves(tag, { cause: error });
  const reason = awayReason(error);
  return reason === undefined ? undefined : new RedisAway(reason, { cause: error });
}

/** One line that says why Redis is away; undefined when the error means something else. */
export function awayReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const message = error.message.replace(/\s+/g, " ");
  const code = (error as { code?: unknown }).code;
  if (MOVING.test(message)) return new SlotMoves(undefined).message;
  if (OTHER_OWNER.test(message)) return "another node of the cluster has this slot now";
  if (CONDITIONS.test(message) || CONDITION_INSIDE.test(message)) return message.slice(0, 200);
  if (NOT_CONNECTED.test(message)) return "not connected to Redis";
  if (TIMED_OUT.test(message)) return NO_ANSWER;
  if (CONNECTION.test(message)) return message.slice(0, 200);
  if (typeof code === "string" && CONNECTION.test(code)) return `${code} ${message}`.slice(0, 200);
  return undefined;
}

/** What mends a connection that Redis, a sentinel or TLS refuses, by code or beginning of the message. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(?:VERIFY|GET_ISSUER)|self.signed certificate|unable to (?:verify|get) /i,
    "nobody that is trusted has signed the certificate: name the authority's file in REDIS_URL, ?ca=/path/of/authority.pem",
  ],
  [
    /ALTNAME_INVALID|does not match certificate/,
    "the certificate has to name the host as REDIS_URL, the sentinels or the cluster name it",
  ],
  [/CERT_HAS_EXPIRED|certificate has expired/, "the certificate has to be renewed"],
  [/NOAUTH/, "REDIS_URL needs a password: redis://user:password@host"],
  [/WRONGPASS|invalid password/, "the user or the password in REDIS_URL is wrong"],
  [/NOPERM/, "the ACL of this user needs more; the manual has the line"],
];
const SENTINEL_REMEDY = "REDIS_URL gives the sentinels' own credentials as ?sentinelUser=…&sentinelPassword=…";

/** What a person can do about an error of a connection, with why it failed where the error itself does not say it. */
export function diagnosisOf(error: Error): { cause?: string; remedy?: string } {
  const inner = error.cause instanceof Error ? error.cause : undefined;
  const said = [error, inner].flatMap((one) => (one ? [(one as { code?: string }).code, one.message] : [])).join(" ");
  const isSentinels = /sentinel/.test(error.message) && /NOAUTH|WRONGPASS|NOPERM|invalid password/.test(said);
  const remedy = isSentinels ? SENTINEL_REMEDY : REMEDIES.find(([pattern]) => pattern.test(said))?.[1];
  return { ...(inner && { cause: inner.message }), ...(remedy && { remedy }) };
}
