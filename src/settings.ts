/*
 * Every setting, declared once: default, what is allowed, and a sentence. The README's table is printed from
 * here (`postpaid config --markdown`).
 */
import { cpus } from "node:os";
import { parseSqlUrl } from "./booking/sqlUrl.ts";
import { parseUrlTemplate } from "./booking/urlTemplate.ts";
import { checkStrength } from "./domain/signingKey.ts";
import { parseSender } from "./mail/sender.ts";
import { parseSmtpUrl } from "./mail/smtpUrl.ts";
import { checked, DAY_MS, durations, integer, isHost, isSigningKey, oneOf, type Setting, text } from "./setting.ts";
import { MAX_PARTITIONS } from "./stream/messageId.ts";
import { parseRedisUrl, type RedisAddress } from "./stream/redisUrl.ts";

export const SETTINGS = {
  PORT: integer(3000, 0, 65_535, "Port of the HTTP service; 0 takes a free one."),
  HOST: text("127.0.0.1", "an address or host name", "Address that the HTTP service listens on.", isHost),
  PUBLIC_HOSTS: {
    default: undefined,
    allowed: "host names or addresses without a port, separated by commas or blanks",
    about:
      "Names that clients and proxies may put into the Host header, beside HOST and loopback; any other one is refused with 421. Needed where HOST is 0.0.0.0 and clients use a name.",
    parse: (value) => {
      const names = value
        .trim()
        .toLowerCase()
        .split(/[\s,]+/)
        .map((name) => name.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, ""));
      return names.every(isHost) ? names : undefined;
    },
  } as Setting<string[]>,
  ROLE: oneOf(["all", "api", "worker"], "What this process does: take events in, send mail, or both."),
  DATA_DIR: text(
    "./data",
    "a folder that can be written",
    "Keys, journal and outbox (what Redis does not know yet), the embedded Redis, the catcher's mails.",
    (v) => v !== "",
  ),
  REDIS_URL: {
    default: undefined,
    allowed:
      "redis://user:password@host:6379/0, redis+sentinel://user:password@h1:26379,h2/master-name?sentinelUser=…&sentinelPassword=…, redis+cluster://user:password@h1:6379,h2, the same with rediss for TLS and ?ca=/path/of/authority.pem, or unix:/path",
    about: "The Redis to use. Unset: an embedded redis-server under DATA_DIR.",
    secret: "credentials",
    parse: parseRedisUrl,
  } as Setting<RedisAddress>,
  MIN_REPLICAS: integer(
    0,
    0,
    100,
    "Replicas of REDIS_URL that must have an event before it is answered replicated; with fewer it is journaled as well. As many as there are, for a failover that loses none.",
  ),
  PARTITIONS: integer(
    1,
    1,
    MAX_PARTITIONS,
    "Sets of keys, each in one cluster slot. Redis keeps the number: a start with another one is refused, `postpaid partitions` changes it.",
  ),
  SMTP_URL: checked(
    "smtp://user:password@host:587 or smtps://host:465",
    "The relay. Unset: the built-in catcher on CATCHER_PORT.",
    parseSmtpUrl,
    "credentials",
  ),
  CATCHER_PORT: integer(
    1025,
    0,
    65_535,
    "Port of the built-in catcher, which keeps the latest 1,000 mails in DATA_DIR/caught.",
  ),
  MAIL_FROM: {
    default: "postpaid <no-reply@localhost>",
    allowed: "one address, or a name and <address>",
    about:
      "The sender, in the envelope and in the From header. Required with SMTP_URL; the default is for the catcher.",
    parse: (value) => {
      parseSender(value);
      return value;
    },
  } as Setting<string>,
  INGEST_KEYS: {
    default: undefined,
    allowed:
      "keys of printable ASCII characters, or whsec_ and base64, with room for 128 bits each, separated by commas",
    about: "Keys that may post events; several for rotation. Unset: one is made in DATA_DIR/ingest.key.",
    secret: "always",
    parse: (value) => {
      const keys = value.split(",").map((one) => one.trim());
      if (!keys.every(isSigningKey)) return undefined;
      for (const key of keys) checkStrength("INGEST_KEYS", key);
      return keys;
    },
  } as Setting<string[]>,
  ADMIN_TOKEN: {
    default: undefined,
    allowed: "printable ASCII characters with room for 128 bits",
    about: "Token for the operator's routes. Unset: one is made in DATA_DIR/admin.token.",
    secret: "always",
    parse: (value) => {
      if (!/^[\x21-\x7e]+$/.test(value)) return undefined;
      checkStrength("ADMIN_TOKEN", value);
      return value;
    },
  } as Setting<string>,
  STRIPE_WEBHOOK_SECRETS: {
    default: undefined,
    allowed: "signing secrets of Stripe endpoints, whsec_…, separated by commas",
    about: "Secrets that Stripe signs with; several for rotation. Unset: POST /v1/webhooks/stripe is closed.",
    secret: "always",
    parse: (value) => {
      const secrets = value.split(",").map((one) => one.trim());
      return secrets.every((one) => /^whsec_[\x21-\x7e]+$/.test(one)) ? secrets : undefined;
    },
  } as Setting<string[]>,
  STRIPE_TEST_EVENTS: oneOf(
    ["ignore", "send"],
    "What becomes of Stripe's events of test mode (livemode: false). Sent, their mails are marked as a test. Where SMTP_URL is unset they are sent: the catcher keeps them. Set both with ROLE=api, too: it cannot know its worker's relay.",
  ),
  BOOKING_STORE: oneOf(["none", "sql", "http"], "Who is asked before a mail is sent whether the booking stands."),
  BOOKING_SQL_URL: checked(
    "postgres://user:password@host/db, mysql://…, mariadb://… or sqlite:///path",
    "The database of BOOKING_STORE=sql.",
    parseSqlUrl,
    "always",
  ),
  BOOKING_SQL_QUERY: text(
    undefined,
    "one query with one placeholder ($1 or ?) for the booking id",
    "Gives one row, whose first column or `status` is paid, pending or cancelled; no row: not found.",
    (v) => v.trim() !== "",
  ),
  BOOKING_HTTP_URL: checked(
    "an http or https URL with {bookingId} in it once",
    'Answers { "status": … } with paid, pending or cancelled, or 404.',
    parseUrlTemplate,
    "credentials",
  ),
  BOOKING_HTTP_KEY: text(
    undefined,
    "printable ASCII characters, or whsec_ and base64",
    "Key that requests to BOOKING_HTTP_URL are signed with (Standard Webhooks).",
    isSigningKey,
    "always",
  ),
  BOOKING_TIMEOUT_MS: integer(
    2_000,
    50,
    60_000,
    "How long the booking store may take, for connection and answer together, ms.",
  ),
  BOOKING_MAX_ASKS: integer(
    24,
    1,
    10_000,
    "How often the booking store may answer pending or not found before a message is dead; asked at the times of CHECK_BACKS.",
  ),
  ALERT_URL: text(
    undefined,
    "an http or https URL",
    "Gets a signed POST (Standard Webhooks) for the first dead letter of each kind, and for the first payment of each kind that Stripe told of and that has no mail, or a poorer one.",
    (value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ""),
    "always",
  ),
  ALERT_KEY: text(
    undefined,
    "printable ASCII characters, or whsec_ and base64",
    "Key that requests to ALERT_URL are signed with.",
    isSigningKey,
    "always",
  ),
  DELAY_MS: integer(
    10_000,
    0,
    30 * DAY_MS,
    "Delay before the first attempt, ms, where event and type set none; a held event waits for its commit instead.",
  ),
  MAX_RETRIES: integer(10, 0, 100, "Retries after the first attempt, before a message is a dead letter."),
  RETRY_DELAYS: {
    default: "30s 2m 5m 15m 30m 1h 2h 4h 8h 16h",
    allowed: "durations such as 500ms 30s 5m 1h 1d, separated by spaces",
    about: "Delay before each retry; the last one repeats. Jitter adds up to a tenth.",
    parse: durations,
  } as Setting<number[]>,
  CHECK_BACKS: {
    default: "10s 30s 2m 10m 1h",
    allowed: "durations such as 500ms 30s 5m 1h 1d, separated by spaces",
    about:
      "When the booking store is asked about a held event that nobody decided (after the last a person must), and again after pending or not found.",
    parse: durations,
  } as Setting<number[]>,
  DEDUP_TTL_MS: integer(
    DAY_MS,
    1,
    30 * DAY_MS,
    "How long the same event id gives the same answer and no second mail, ms.",
  ),
  RETENTION_MS: integer(
    7 * DAY_MS,
    1_000,
    365 * DAY_MS,
    "How long a sent or cancelled message can be looked up, ms; at least DEDUP_TTL_MS.",
  ),
  JOURNAL_MAX_BYTES: integer(
    256 * 1024 * 1024,
    0,
    1_000_000_000_000,
    "Room on the local disk for what Redis cannot take, bytes; when that is full too, posts are refused with 503.",
  ),
  MAX_BACKLOG: integer(
    5_000_000,
    1,
    1_000_000_000,
    "Messages that may wait in a partition before posts are refused with 503.",
  ),
  CONCURRENCY: integer(
    10 * cpus().length,
    1,
    1_000,
    "Attempts at the same time, and connections to the relay. Ten for each core.",
  ),
  PRIORITY_ORDER: oneOf(
    ["weighted", "strict"],
    "weighted: critical, default and low share 6:3:1; strict: highest first.",
  ),
  LEASE_MS: integer(30_000, 100, 3_600_000, "How long a worker that went silent keeps what it took, ms."),
  SHUTDOWN_MS: integer(10_000, 0, 600_000, "How long a stop waits for mails under way, ms."),
  ON_UNKNOWN: oneOf(
    ["resend", "hold"],
    "When the relay may have a mail and never said so: send again, or hold it for a person.",
  ),
  LOG_LEVEL: oneOf(["info", "trace", "debug", "warn", "error", "fatal", "silent"], "Least level that is logged."),
  LOG_PII: oneOf(["masked", "plain"], "Addresses in the log: masked (a***@example.com), or as they are."),
} satisfies Record<string, Setting<unknown>>;
