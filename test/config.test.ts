import { describe, expect, test } from "bun:test";
import { cpus } from "node:os";
import fc from "fast-check";
import { type Config, ConfigError, describeSettings, loadConfig } from "../src/config.ts";
import { parseSender } from "../src/mail/sender.ts";
import { parseSmtpUrl } from "../src/mail/smtpUrl.ts";
import { SETTINGS } from "../src/settings.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** 20 characters of 94, and 32 of 16, have room for 128 bits. */
const KEY = "tr0ub4dor&3~horse!xy";
const HEX = "0123456789abcdef0123456789abcdef";
const WHSEC = `whsec_${Buffer.from("sixteen bytes ok").toString("base64")}`;

/** As the documentation has them. */
const DEFAULTS: Config = {
  PORT: 3000,
  HOST: "127.0.0.1",
  ROLE: "all",
  DATA_DIR: "./data",
  REDIS_URL: undefined,
  MIN_REPLICAS: 0,
  PARTITIONS: 1,
  SMTP_URL: undefined,
  CATCHER_PORT: 1025,
  MAIL_FROM: "postpaid <no-reply@localhost>",
  PUBLIC_HOSTS: undefined,
  INGEST_KEYS: undefined,
  ADMIN_TOKEN: undefined,
  STRIPE_WEBHOOK_SECRETS: undefined,
  STRIPE_TEST_EVENTS: "ignore",
  BOOKING_STORE: "none",
  BOOKING_SQL_URL: undefined,
  BOOKING_SQL_QUERY: undefined,
  BOOKING_HTTP_URL: undefined,
  BOOKING_HTTP_KEY: undefined,
  BOOKING_TIMEOUT_MS: 2_000,
  ALERT_URL: undefined,
  ALERT_KEY: undefined,
  DELAY_MS: 10 * SECOND,
  MAX_RETRIES: 10,
  RETRY_DELAYS: [
    ...[30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE],
    ...[HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR],
  ],
  CHECK_BACKS: [10 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR],
  DEDUP_TTL_MS: DAY,
  RETENTION_MS: 7 * DAY,
  MAX_BACKLOG: 5_000_000,
  JOURNAL_MAX_BYTES: 256 * 1024 * 1024,
  BOOKING_MAX_ASKS: 24,
  CONCURRENCY: 10 * cpus().length,
  PRIORITY_ORDER: "weighted",
  LEASE_MS: 30 * SECOND,
  SHUTDOWN_MS: 10 * SECOND,
  ON_UNKNOWN: "resend",
  LOG_LEVEL: "info",
  LOG_PII: "masked",
};

/** Shown where it holds no @: there is no password before it then. */
const URLS = ["REDIS_URL", "SMTP_URL"];

const SECRETS = [
  "ALERT_URL",
  "ALERT_KEY",
  "INGEST_KEYS",
  "ADMIN_TOKEN",
  "STRIPE_WEBHOOK_SECRETS",
  "BOOKING_SQL_URL",
  "BOOKING_HTTP_KEY",
];

function errorOf(env: Record<string, string>): string {
  try {
    loadConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error(`accepted: ${JSON.stringify(env)}`);
}

describe("the settings", () => {
  test("are the documented defaults where nothing is set", () => {
    expect(loadConfig({})).toEqual(DEFAULTS);
  });

  test("count as unset where they are set to nothing, as FOO= means it", () => {
    expect(loadConfig(Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, ""])))).toEqual(DEFAULTS);
  });

  test("are read from the environment that is given, not from the process's", () => {
    process.env["MAX_RETRIES"] = "99";
    try {
      expect(loadConfig({}).MAX_RETRIES).toBe(10);
    } finally {
      delete process.env["MAX_RETRIES"];
    }
  });

  test("leave variables of others alone", () => {
    expect(loadConfig({ PATH: "/bin", POSTPAID_CHILD: "1", port: "1" })).toEqual(DEFAULTS);
  });

  const good: [string, string, unknown][] = [
    ["PORT", "0", 0],
    ["PORT", "65535", 65_535],
    ["HOST", "::", "::"],
    ["ROLE", "worker", "worker"],
    ["DATA_DIR", "/var/lib/post paid", "/var/lib/post paid"],
    [
      "REDIS_URL",
      "redis://user:pw@h:6380/2",
      { kind: "single", host: "h", port: 6_380, db: 2, username: "user", password: "pw" },
    ],
    ["REDIS_URL", "rediss://h", { kind: "single", host: "h", port: 6_379, tls: {} }],
    ["REDIS_URL", "unix:/run/redis.sock", { kind: "unix", path: "/run/redis.sock" }],
    ["REDIS_URL", "unix:///run/redis.sock", { kind: "unix", path: "/run/redis.sock" }],
    [
      "REDIS_URL",
      "redis+sentinel://u:p%40w@h1:26379,h2:26380/main",
      {
        kind: "sentinel",
        name: "main",
        hosts: [
          { host: "h1", port: 26_379 },
          { host: "h2", port: 26_380 },
        ],
        username: "u",
        password: "p@w",
      },
    ],
    [
      "REDIS_URL",
      "redis+sentinel://:pw@h1:1/m",
      { kind: "sentinel", name: "m", hosts: [{ host: "h1", port: 1 }], password: "pw" },
    ],
    ["REDIS_URL", "redis+cluster://h1:7000", { kind: "cluster", hosts: [{ host: "h1", port: 7_000 }] }],
    ["PARTITIONS", "256", 256],
    ["SMTP_URL", "smtps://u:p@mail.example.com", "smtps://u:p@mail.example.com"],
    ["MAIL_FROM", "Sao Việt <ve@example.com>", "Sao Việt <ve@example.com>"],
    ["MAIL_FROM", "ve@example.com", "ve@example.com"],
    ["REDIS_URL", "redis://:p%40w@h", { kind: "single", host: "h", port: 6_379, password: "p@w" }],
    ["REDIS_URL", "redis://h/", { kind: "single", host: "h", port: 6_379 }],
    ["REDIS_URL", "redis://h/999", { kind: "single", host: "h", port: 6_379, db: 999 }],
    ["INGEST_KEYS", `${KEY}, ${HEX},${WHSEC},${WHSEC.replace(/=+$/, "")}`, [KEY, HEX, WHSEC, WHSEC.replace(/=+$/, "")]],
    ["ADMIN_TOKEN", HEX, HEX],
    ["PUBLIC_HOSTS", "Pay.Example.com, mail, 10.0.0.7 [fd00::1]", ["pay.example.com", "mail", "10.0.0.7", "fd00::1"]],
    ["DELAY_MS", "0", 0],
    ["MAX_RETRIES", "0", 0],
    ["RETRY_DELAYS", " 500ms  1s 2m ", [500, 1_000, 120_000]],
    ["RETRY_DELAYS", "1d", [DAY]],
    ["ON_UNKNOWN", "hold", "hold"],
    ["STRIPE_TEST_EVENTS", "send", "send"],
    ["LOG_LEVEL", "silent", "silent"],
    ["LOG_PII", "plain", "plain"],
  ];
  test.each(good)("take %s=%s", (name, value, parsed) => {
    const env = { MAIL_FROM: "ve@example.com", [name]: value };
    expect((loadConfig(env) as Record<string, unknown>)[name]).toEqual(parsed);
  });
});

describe("a bad setting", () => {
  const bad: Record<string, string[]> = {
    PORT: ["-1", "65536", "80.5", "3e3", "0x50", "http", " 80", "999999999999999999999"],
    HOST: [" ", "a b", "999.999.999.999", "http://localhost", "127.0.0.1:80"],
    ROLE: ["ALL", "both", "api,worker"],
    REDIS_URL: [
      ...["localhost:6379", "http://h", "unix:redis.sock", "redis://h:x", "redis://h:99999"],
      ...["redis+sentinel://h1:26379", "redis+sentinel://h1:x/main", "redis+sentinel://h1:26379,/main"],
      ...["redis+cluster://h1:x", "redis+cluster://h1:7000/0", "redis+cluster://h1:70000", "redis+cluster://"],
      ...["redis+sentinel://u:p%zz@h1:26379/main", "redis+sentinel://h1:0/main"],
      ...[
        "redis://user:p%ZZ@h",
        "rediss://:TOP%SECRET@h/1",
        "redis://h:6379/1000",
        "redis://h:6379/99999",
        "redis://h:6379/abc",
        "rediss://h/-1",
        "redis://h/0/1",
        "redis://h?maxRetriesPerRequest=5",
        "redis://",
        "redis:///1",
        "redis://h:0",
        "redis+sentinel://h1:26379/main?db=1",
      ],
    ],
    MIN_REPLICAS: ["-1", "101", "all"],
    PARTITIONS: ["0", "257", "-1", "two"],
    SMTP_URL: [
      "localhost:25",
      "http://h",
      "smtp",
      "smtp://",
      "smtp://h:465",
      "smtp://h:0",
      "smtp://h/x",
      "smtp://h?pool=true",
      "smtp://u:%zz@h",
    ],
    CATCHER_PORT: ["65536", "x"],
    MAIL_FROM: [
      "nobody",
      "a@b, c@d",
      "A <a@b> x",
      "<a@b",
      "a@b\r\nBcc: x@example.com",
      "A\nX-Evil: y <a@b>",
      "a b@c",
      "Nguyễn <nguyễn@b>",
      "=?utf-8?B?U2Fv!?= <a@b>",
    ],
    INGEST_KEYS: [
      ...[",", "a,,b", "a b", "é", "a,"],
      ...["a", "whsec_AA", `${KEY},a`, HEX.slice(1), KEY.slice(0, 19), `whsec_${btoa("fifteen bytes..")}`],
      ...["whsec_", "whsec_!!!", "good,whsec_", "whsec_abc!def", `${WHSEC}!`, `${WHSEC},whsec_`],
    ],
    ADMIN_TOKEN: ["a b", "é", "\n", "a", HEX.slice(1), "1".repeat(38)],
    PUBLIC_HOSTS: [",", "http://a", "a:80", "*.example.com"],
    BOOKING_STORE: ["postgres", "SQL"],
    BOOKING_SQL_URL: ["db", "oracle://h/db"],
    BOOKING_SQL_QUERY: [" "],
    BOOKING_HTTP_URL: ["https://shop.example/bookings", "ftp://h/{bookingId}", "https://h/{bookingId}/{bookingId}"],
    BOOKING_HTTP_KEY: ["whsec_", "a b"],
    BOOKING_TIMEOUT_MS: ["0", "60001", "2s"],
    ALERT_URL: ["ops.example/hook", "ftp://ops.example", "http:"],
    ALERT_KEY: ["whsec_", "a b"],
    STRIPE_WEBHOOK_SECRETS: ["whsec_", "sk_live_1", "whsec_a,", "whsec_a b", "whsec_é"],
    DELAY_MS: ["-1", "10s", String(30 * DAY + 1)],
    MAX_RETRIES: ["-1", "101", "ten"],
    RETRY_DELAYS: [" ", "30", "30s,2m", "30 s", "31d", "soon", "1m 2"],
    CHECK_BACKS: [" ", "30", "10s,30s", "31d"],
    DEDUP_TTL_MS: ["0", "-1", "24h"],
    RETENTION_MS: ["0", "x"],
    MAX_BACKLOG: ["0", "-5", "1e6"],
    JOURNAL_MAX_BYTES: ["-1", "256MB", "1e9"],
    BOOKING_MAX_ASKS: ["0", "10001", "often"],
    CONCURRENCY: ["0", "1001", "x"],
    PRIORITY_ORDER: ["fair", "STRICT"],
    LEASE_MS: ["0", "99", "30s"],
    SHUTDOWN_MS: ["-1", "x"],
    ON_UNKNOWN: ["drop", "Resend"],
    STRIPE_TEST_EVENTS: ["mark", "SEND"],
    LOG_LEVEL: ["verbose", "INFO"],
    LOG_PII: ["none", "Plain"],
  };

  test("has been thought of for every variable that can be bad", () => {
    const anythingGoes = ["DATA_DIR"];
    expect([...Object.keys(bad), ...anythingGoes].sort()).toEqual(Object.keys(SETTINGS).sort());
  });

  for (const [name, values] of Object.entries(bad)) {
    const isSecret = (value: string) => SECRETS.includes(name) || (URLS.includes(name) && value.includes("@"));
    test(`${name} is refused in one line with its name, ${SECRETS.includes(name) ? "not its value" : "its value"}, and what is allowed`, () => {
      const { allowed } = SETTINGS[name as keyof typeof SETTINGS];
      for (const value of values) {
        const message = errorOf({ [name]: value });
        expect(message).toMatch(new RegExp(`^${name} .*, allowed: `));
        expect(message).toEndWith(`allowed: ${allowed}`);
        if (!isSecret(value)) expect(message).toContain(JSON.stringify(value));
        else expect(message.replace(allowed, "").split(" ")).not.toContain(value);
      }
    });
  }

  test("that holds a password does not show it, in any form", () => {
    for (const env of [
      { REDIS_URL: "redis+sentinel://user:hunter2@h1:x/main" },
      { REDIS_URL: "redis+sentinel://h1/main/x?sentinelPassword=hunter2" },
      { REDIS_URL: "redis://h1?password=hunter2" },
      { REDIS_URL: "redis://user:12?hunter2=1@h1" },
      { REDIS_URL: "reddis://user:hunter2@h1" },
      { REDIS_URL: "redis+cluster://user:hunter2%@h1:7000" },
      { REDIS_URL: "redis://user:hunter2@h1/abc" },
      { REDIS_URL: "redis://user:hunter2%40h1" },
      { INGEST_KEYS: "good,whsec_hunter2!" },
      { SMTP_URL: "http://user:hunter2@h1" },
      { SMTP_URL: "smtp://user:hunter2@h1/path" },
      { SMTP_URL: "smtp://user:12/hunter2@h1" }, // a password with a slash, a question mark, a percent sign
      { SMTP_URL: "smtp://user:12?hunter2@h1" },
      { SMTP_URL: "smtp://user:hunter2%zz@h1" },
      { REDIS_URL: "redis://:hunter2" }, // the host was forgotten
      { BOOKING_HTTP_URL: "http://user:hunter2@h/{bookingId}" },
      { INGEST_KEYS: "hunter2 with spaces" },
      { INGEST_KEYS: "hunter2" },
      { ADMIN_TOKEN: "hunter2" },
      { ADMIN_TOKEN: "hunter2 with spaces" },
      { STRIPE_WEBHOOK_SECRETS: "hunter2" },
    ] as Record<string, string>[]) {
      expect(errorOf(env)).not.toContain("hunter2");
    }
  });

  test("is a ConfigError, whatever the value is, and never another exception", () => {
    const names = Object.keys(SETTINGS);
    const needed = { ALERT_KEY: "needed-by-ALERT_URL", MAIL_FROM: "needed-by@smtp-url" };
    const prefixes = ["", "redis://", "redis+sentinel://", "redis+cluster://a:b@", "smtp://", "unix:/", "<", "1"];
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.constantFrom(...prefixes),
        fc.oneof(fc.string(), fc.webUrl(), fc.string({ unit: fc.constantFrom(..."%:@/,1a ") })),
        (name, prefix, rest) => {
          try {
            loadConfig({ ...needed, [name]: `${prefix}${rest}` });
            return true;
          } catch (error) {
            return error instanceof ConfigError && error.message.startsWith(`${name} `);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

test("SMTP_URL needs a MAIL_FROM, as no relay sends for somebody@localhost", () => {
  for (const MAIL_FROM of [{}, { MAIL_FROM: "" }] as Record<string, string>[]) {
    expect(errorOf({ SMTP_URL: "smtp://h", ...MAIL_FROM })).toBe(
      'MAIL_FROM is "", allowed: one address, or a name and <address>; SMTP_URL needs it',
    );
  }
  expect(loadConfig({ SMTP_URL: "smtp://h", MAIL_FROM: "ve@example.com" }).MAIL_FROM).toBe("ve@example.com");
});

test("MIN_REPLICAS needs a Redis that can have replicas", () => {
  expect(errorOf({ MIN_REPLICAS: "1" })).toBe(
    'MIN_REPLICAS is "1", allowed: 0 where REDIS_URL is unset: the embedded Redis has no replicas',
  );
  expect(loadConfig({ MIN_REPLICAS: "1", REDIS_URL: "redis://h" }).MIN_REPLICAS).toBe(1);
});

describe("what is accepted at start", () => {
  test("as MAIL_FROM is a sender for the mails too", () => {
    const words = fc.constantFrom(
      "a",
      "Shop",
      "<",
      ">",
      "@",
      " ",
      "example.com",
      '"',
      ",",
      ".",
      "ü",
      "no-reply@localhost",
    );
    fc.assert(
      fc.property(fc.array(words, { minLength: 1, maxLength: 8 }), (parts) => {
        const from = parts.join("");
        try {
          loadConfig({ MAIL_FROM: from });
        } catch {
          return;
        }
        expect(() => parseSender(from), JSON.stringify(from)).not.toThrow();
      }),
      { numRuns: 2_000 },
    );
  });

  test("as SMTP_URL is a relay for the mails too", () => {
    const words = fc.constantFrom(
      "smtp://",
      "smtps://",
      "h",
      "u:p@",
      ":25",
      ":465",
      "/",
      "?",
      "pool=true",
      "%",
      "requireTLS=x",
    );
    fc.assert(
      fc.property(fc.array(words, { minLength: 1, maxLength: 6 }), (parts) => {
        const url = parts.join("");
        try {
          loadConfig({ SMTP_URL: url, MAIL_FROM: "a@b" });
        } catch {
          return;
        }
        expect(() => parseSmtpUrl(url), JSON.stringify(url)).not.toThrow();
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("RETENTION_MS and DEDUP_TTL_MS", () => {
  test("are refused together when a message would be forgotten before its idempotency key", () => {
    const message = errorOf({ RETENTION_MS: "5000", DEDUP_TTL_MS: "6000" });
    expect(message).toBe('RETENTION_MS is "5000", allowed: at least DEDUP_TTL_MS, 6000');
    expect(errorOf({ RETENTION_MS: "5000" })).toContain("at least DEDUP_TTL_MS");
  });

  test("may be the same", () => {
    expect(loadConfig({ RETENTION_MS: "6000", DEDUP_TTL_MS: "6000" }).RETENTION_MS).toBe(6_000);
  });

  test("grow together when only the second is set", () => {
    expect(loadConfig({ DEDUP_TTL_MS: String(30 * DAY) }).RETENTION_MS).toBe(30 * DAY);
    expect(loadConfig({ DEDUP_TTL_MS: String(30 * DAY), RETENTION_MS: "" }).RETENTION_MS).toBe(30 * DAY);
    expect(loadConfig({ DEDUP_TTL_MS: String(DAY) }).RETENTION_MS).toBe(7 * DAY);
  });
});

describe("CATCHER_PORT and PORT", () => {
  test("are refused together when they are the same, and a catcher is started", () => {
    const same = { PORT: "1025", HOST: "127.0.0.1" };
    expect(errorOf(same)).toBe('CATCHER_PORT is "1025", allowed: an integer from 0 to 65535 that is not PORT');
    for (const more of [{ SMTP_URL: "smtp://h", MAIL_FROM: "a@b" }, { ROLE: "api" }, { ROLE: "worker" }] as Record<
      string,
      string
    >[]) {
      expect(loadConfig({ ...same, ...more }).PORT).toBe(1_025);
    }
    expect(loadConfig({ PORT: "0", CATCHER_PORT: "0" }).PORT).toBe(0);
  });
});

describe("the README's table", () => {
  const table = describeSettings();

  test("has a row with a sentence for every setting", () => {
    expect(table.map(({ name }) => name)).toEqual(Object.keys(SETTINGS));
    for (const { name, allowed, about } of table) {
      expect(allowed, name).not.toBe("");
      expect(about, name).toEndWith(".");
    }
  });

  test("is the same on every machine", () => {
    expect(table.find(({ name }) => name === "CONCURRENCY")?.default).toBe("10 × cores");
  });

  test("says long times in words too", () => {
    expect(table.find(({ name }) => name === "DEDUP_TTL_MS")?.default).toBe("86400000 (1d)");
    expect(table.find(({ name }) => name === "LEASE_MS")?.default).toBe("30000");
    expect(table.find(({ name }) => name === "REDIS_URL")?.default).toBe("");
  });

  test("has no cell that breaks out of it", () => {
    for (const row of table) for (const cell of Object.values(row)) expect(cell).not.toMatch(/[|\n]/);
  });
});

test("an alert needs its key, and says so", () => {
  expect(errorOf({ ALERT_URL: "https://ops.example/hook" })).toStartWith("ALERT_KEY ");
  expect(loadConfig({ ALERT_URL: "https://ops.example/hook", ALERT_KEY: "secret" }).ALERT_KEY).toBe("secret");
});

describe("a booking store", () => {
  test("needs its own settings, and says which", () => {
    expect(errorOf({ BOOKING_STORE: "sql" })).toStartWith("BOOKING_SQL_URL ");
    expect(errorOf({ BOOKING_STORE: "sql", BOOKING_SQL_URL: "sqlite:///b.db" })).toStartWith("BOOKING_SQL_QUERY ");
    expect(errorOf({ BOOKING_STORE: "http" })).toStartWith("BOOKING_HTTP_URL ");
    expect(errorOf({ BOOKING_STORE: "http", BOOKING_HTTP_URL: "https://h/{bookingId}" })).toStartWith(
      "BOOKING_HTTP_KEY ",
    );
  });

  test("has a query that fits its database", () => {
    const sql = { BOOKING_STORE: "sql", BOOKING_SQL_URL: "postgres://h/db" };
    expect(errorOf({ ...sql, BOOKING_SQL_QUERY: "SELECT status FROM b WHERE id = ?" })).toBe(
      'BOOKING_SQL_QUERY is "SELECT status FROM b WHERE id = ?": must have $1, and no other parameter, where the booking id goes, allowed: one query with one placeholder ($1 or ?) for the booking id',
    );
    expect(loadConfig({ ...sql, BOOKING_SQL_QUERY: "SELECT status FROM b WHERE id = $1" }).BOOKING_STORE).toBe("sql");
  });
});
