/* Reads the settings. A bad value is a ConfigError that names the variable, the value and what is allowed. */
import { checkSqlQuery, parseSqlUrl } from "./booking/sqlUrl.ts";
import { formatDuration } from "./domain/duration.ts";
import type { Setting } from "./setting.ts";
import { SETTINGS } from "./settings.ts";

export class ConfigError extends Error {
  override name = "ConfigError";
}

type Settings = typeof SETTINGS;
type Name = keyof Settings;
/** Always set: those that have a default. */
type Optional =
  | "REDIS_URL"
  | "PUBLIC_HOSTS"
  | "SMTP_URL"
  | "INGEST_KEYS"
  | "ADMIN_TOKEN"
  | "STRIPE_WEBHOOK_SECRETS"
  | "BOOKING_SQL_URL"
  | "BOOKING_SQL_QUERY"
  | "BOOKING_HTTP_URL"
  | "BOOKING_HTTP_KEY"
  | "ALERT_URL"
  | "ALERT_KEY";
type Value<N extends Name> = NonNullable<ReturnType<Settings[N]["parse"]>>;

export type Config = { [N in Exclude<Name, Optional>]: Value<N> } & { [N in Optional]: Value<N> | undefined };

/** @throws ConfigError */
export function loadConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const config = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, setting]) => [name, read(name, setting as Setting<unknown>, env[name])]),
  ) as unknown as Config;
  const unset = env["RETENTION_MS"] === undefined || env["RETENTION_MS"] === "";
  if (config.RETENTION_MS < config.DEDUP_TTL_MS) {
    if (!unset) refuse("RETENTION_MS", String(config.RETENTION_MS), `at least DEDUP_TTL_MS, ${config.DEDUP_TTL_MS}`);
    config.RETENTION_MS = config.DEDUP_TTL_MS;
  }
  if (
    config.ROLE === "all" &&
    config.SMTP_URL === undefined &&
    config.CATCHER_PORT === config.PORT &&
    config.PORT !== 0
  )
    refuse("CATCHER_PORT", String(config.CATCHER_PORT), `${SETTINGS.CATCHER_PORT.allowed} that is not PORT`);
  if (config.SMTP_URL !== undefined && !env["MAIL_FROM"])
    refuse("MAIL_FROM", "", `${SETTINGS.MAIL_FROM.allowed}; SMTP_URL needs it`);
  if (config.MIN_REPLICAS > 0 && config.REDIS_URL === undefined)
    refuse(
      "MIN_REPLICAS",
      String(config.MIN_REPLICAS),
      "0 where REDIS_URL is unset: the embedded Redis has no replicas",
    );
  need(config, "sql", ["BOOKING_SQL_URL", "BOOKING_SQL_QUERY"]);
  need(config, "http", ["BOOKING_HTTP_URL", "BOOKING_HTTP_KEY"]);
  if (config.ALERT_URL !== undefined && config.ALERT_KEY === undefined)
    refuse("ALERT_KEY", "", `${SETTINGS.ALERT_KEY.allowed}; ALERT_URL needs it`);
  if (config.BOOKING_STORE === "sql") {
    const query = config.BOOKING_SQL_QUERY ?? "";
    try {
      checkSqlQuery(query, parseSqlUrl(config.BOOKING_SQL_URL ?? "").kind);
    } catch (error) {
      const { message } = error as Error;
      throw explained(message, "BOOKING_SQL_QUERY", query, false, SETTINGS.BOOKING_SQL_QUERY.allowed);
    }
  }
  return config;
}

function need(config: Config, store: Config["BOOKING_STORE"], names: readonly (Name & Optional)[]): void {
  if (config.BOOKING_STORE !== store) return;
  for (const name of names) {
    if (config[name] === undefined) refuse(name, "", `${SETTINGS[name].allowed}; BOOKING_STORE=${store} needs it`);
  }
}

/** An @, a password among the options, or no host before the colon, as where `@host` was forgotten. */
const MAY_HAVE_CREDENTIALS = /@|%40|password|:\/\/:/i;

/** A variable that is set to nothing counts as unset, as `FOO= command` means it. */
function read(name: string, setting: Setting<unknown>, given: string | undefined): unknown {
  const value = given === undefined || given === "" ? setting.default : given;
  if (value === undefined) return undefined;
  const hidden = setting.secret === "always" || (setting.secret === "credentials" && MAY_HAVE_CREDENTIALS.test(value));
  let parsed: unknown;
  try {
    parsed = setting.parse(value);
  } catch (error) {
    const { message } = error as Error;
    if (message.startsWith(name)) throw explained(message, name, value, hidden, setting.allowed);
  }
  if (parsed === undefined) refuse(name, hidden ? "(not shown, it may hold a secret)" : value, setting.allowed);
  return parsed;
}

/** @param message begins with the name */
function explained(message: string, name: string, value: string, hidden: boolean, allowed: string): ConfigError {
  const shown = hidden || message.includes(JSON.stringify(value)) ? "" : ` is ${JSON.stringify(value)}:`;
  return new ConfigError(`${name}${shown}${message.slice(name.length)}, allowed: ${allowed}`);
}

function refuse(name: string, value: string, allowed: string): never {
  throw new ConfigError(`${name} is ${JSON.stringify(value)}, allowed: ${allowed}`);
}

/** The README's table. */
export function describeSettings(): { name: string; default: string; allowed: string; about: string }[] {
  return Object.entries(SETTINGS).map(([name, setting]) => ({
    name,
    default: name === "CONCURRENCY" ? "10 × cores" : shownDefault(name, setting.default),
    allowed: setting.allowed,
    about: setting.about,
  }));
}

function shownDefault(name: string, value: string | undefined): string {
  if (value === undefined) return "";
  return name.endsWith("_MS") && Number(value) >= 60_000 ? `${value} (${formatDuration(Number(value))})` : value;
}
