import { describe, expect, test } from "bun:test";
import { SETTINGS } from "../src/settings.ts";
import { strangeSettings, tellOf } from "../src/strangeSettings.ts";

describe("a variable that no setting has is told of", () => {
  test.each([
    ["SMTP_URI", "SMTP_URL"],
    ["SMTPURL", "SMTP_URL"],
    ["REDIS_URl", "REDIS_URL"],
    ["redis_url", "REDIS_URL"],
    ["REDSI_URL", "REDIS_URL"],
    ["MAX_RETRY", "MAX_RETRIES"],
    ["RETRY_DELAY", "RETRY_DELAYS"],
    ["MAILFROM", "MAIL_FROM"],
    ["INGEST_KEY", "INGEST_KEYS"],
    ["STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRETS"],
    ["BOOKING_SQL_QUERRY", "BOOKING_SQL_QUERY"],
    ["DEDUP_TTL", "DEDUP_TTL_MS"],
    ["CONCURENCY", "CONCURRENCY"],
    ["PUBLIC_HOST", "PUBLIC_HOSTS"],
    ["POSTPAID_PORT", "PORT"],
    ["POSTPAID_SMTP_URI", "SMTP_URL"],
    ["postpaid_max_retries", "MAX_RETRIES"],
    ["POSTPAID_", "PORT"],
  ])("%s, for %s", (name, meant) => {
    const found = strangeSettings({ PATH: "/bin", [name]: "secret" });
    expect(found).toEqual([{ name, meant }]);
    expect(tellOf(found[0] as (typeof found)[number])).toBe(`${name} is set, and is no setting: ${meant} may be meant`);
  });

  test("unless the setting that it is like is set, too", () => {
    expect(strangeSettings({ REDIS_URI: "for another", REDIS_URL: "unix:/x" })).toEqual([]);
  });
});

describe("no word is said", () => {
  test("of a setting that is known", () => {
    expect(strangeSettings(Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, "x"])))).toEqual([]);
  });

  test.each([
    [
      "a shell",
      "HOME HOSTNAME HOSTTYPE LOGNAME MAIL MAILCHECK USER SHELL SHLVL PWD OLDPWD TERM LANG LC_ALL TZ EDITOR _",
    ],
    ["a desktop", "XDG_DATA_DIRS XDG_DATA_HOME XDG_RUNTIME_DIR DISPLAY DBUS_SESSION_BUS_ADDRESS SSH_AUTH_SOCK"],
    [
      "npm and Bun",
      "npm_config_user_agent npm_lifecycle_event npm_package_json npm_execpath BUN_INSTALL BUN_DEBUG NODE_ENV",
    ],
    ["an allocator", "MIMALLOC_PURGE_DELAY MIMALLOC_PURGE_HOLES MALLOC_ARENA_MAX"],
    [
      "Kubernetes",
      "KUBERNETES_SERVICE_HOST KUBERNETES_PORT REDIS_SERVICE_HOST REDIS_PORT REDIS_PORT_6379_TCP_ADDR SMTP_PORT",
    ],
    ["a platform", "DATABASE_URL REDIS_TLS_URL DYNO PORT_FORWARD WEB_CONCURRENCY RAILWAY_PUBLIC_DOMAIN FLY_APP_NAME"],
    [
      "other tools",
      "LOG_FILE LOG_FORMAT LOG_DIR LOGS MAX_ENTRIES MAX_MEMORY SMTP_HOST SMTP_USER MAIL_HOST MAIL_TO STRIPE_API_KEY",
    ],
    ["CI", "CI GITHUB_ACTIONS GITHUB_TOKEN RUNNER_TEMP JOB_URL BUILD_URL ALERT_EMAIL HOSTS host port Role"],
    ["our own other parts", "POSTPAID_URL POSTPAID_TOKEN POSTPAID_KEY POSTPAID_CHILD"],
  ])("of what %s sets", (_, names) => {
    expect(strangeSettings(Object.fromEntries(names.split(" ").map((name) => [name, "x"])))).toEqual([]);
  });

  test("of a variable that is set to nothing, which counts as unset", () => {
    expect(strangeSettings({ SMTP_URI: "" })).toEqual([]);
    expect(strangeSettings({ SMTP_URI: "x", SMTP_URL: "" })).toHaveLength(1);
  });
});
