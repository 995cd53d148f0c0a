/* Which errors mean that Redis cannot do it now, as opposed to a bug of ours. */

/** Redis is not there, or is there and cannot take writes. The same call later is safe. */
export class RedisAway extends Error {
  override name = "RedisAway";
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

/** How a cluster says that a slot is on its way to another node, or was left so. */
const MOVING = /\bTRYAGAIN\b|(?:^|Last error: (?:ReplyError: )?)(?:ASK|MOVED) /;
export const SLOT_MOVES =
  "the slot of this partition is being moved to another node (if nobody moves it: redis-cli --cluster fix)";

/** One line that says why Redis is away; undefined when the error means something else. */
export function awayReason(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const message = error.message.replace(/\s+/g, " ");
  const code = (error as { code?: unknown }).code;
  if (MOVING.test(message)) return SLOT_MOVES;
  if (CONDITIONS.test(message) || CONDITION_INSIDE.test(message)) return message.slice(0, 200);
  if (NOT_CONNECTED.test(message)) return "not connected to Redis";
  if (TIMED_OUT.test(message)) return NO_ANSWER;
  if (CONNECTION.test(message)) return message.slice(0, 200);
  if (typeof code === "string" && CONNECTION.test(code)) return `${code} ${message}`.slice(0, 200);
  return undefined;
}
