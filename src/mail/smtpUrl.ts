/*
 * SMTP_URL: smtp:// (STARTTLS when the relay offers it, always with ?requireTLS=true, or with a password that
 * leaves this host, unless the URL says requireTLS=false or ignoreTLS=true) or smtps:// (TLS from the first byte).
 * Nodemailer's own parser lets a URL set any option of its transport, requeues and pool sizes too; here what is not
 * listed below is refused. Messages never repeat the URL: it has a password.
 */
import type { SMTPConnectionOptions } from "nodemailer/lib/smtp-connection";

export interface Relay {
  /** "mail.example.com:587", as it stands in reasons and logs. */
  label: string;
  connection: SMTPConnectionOptions;
  /** TLS is required for the password's sake, and not because the URL says so. */
  guardsPassword: boolean;
  /** `method` undefined: the first one that the relay offers. */
  auth?: { user: string; pass: string; method?: string };
}

const OPTIONS = [
  "requireTLS",
  "ignoreTLS",
  "name",
  "authMethod",
  "tls.servername",
  "tls.rejectUnauthorized",
  "tls.minVersion",
] as const;

/**
 * @throws with what is wrong, beginning with SMTP_URL
 * @example parseSmtpUrl("smtp://user:pass@mail.example.com:587?requireTLS=true").label // "mail.example.com:587"
 */
export function parseSmtpUrl(text: string): Relay {
  const url = URL.canParse(text) ? new URL(text) : refuse("is not a URL");
  const secure = url.protocol === "smtps:";
  if (!secure && url.protocol !== "smtp:") refuse(`begins with ${url.protocol}//, must be smtp:// or smtps://`);
  const host = decoded(url.hostname).replace(/^\[(.*)\]$/, "$1");
  if (host === "") refuse("names no host");
  if (url.pathname !== "" && url.pathname !== "/")
    refuse("has a path, which means nothing: a / in a password is written %2F");

  const query = url.searchParams;
  for (const key of new Set(query.keys())) {
    if (!OPTIONS.some((option) => option === key))
      refuse(`has the option ${shown(key)}, must be one of: ${OPTIONS.join(", ")}`);
  }
  const ignoreTLS = flag(query, "ignoreTLS") ?? false;
  const asked = flag(query, "requireTLS");
  const guardsPassword = asked === undefined && !ignoreTLS && !secure && url.username !== "" && !isLoopback(host);
  const requireTLS = asked ?? guardsPassword;
  if (ignoreTLS && (requireTLS || secure)) refuse("asks for TLS and for ignoreTLS");
  const port = url.port === "" ? (secure ? 465 : 587) : Number(url.port);
  if (port === 0) refuse("names port 0");
  if (port === 465 && !secure) refuse("uses port 465, where relays expect TLS from the first byte: write smtps://");

  const relay: Relay = {
    label: `${url.hostname}:${port}`,
    guardsPassword,
    connection: {
      host,
      port,
      secure,
      requireTLS,
      ignoreTLS,
      name: query.get("name") ?? undefined,
      tls: {
        ...(query.has("tls.servername") && { servername: query.get("tls.servername") ?? "" }),
        ...(query.has("tls.minVersion") && { minVersion: tlsVersion(query.get("tls.minVersion")) }),
        rejectUnauthorized: flag(query, "tls.rejectUnauthorized") ?? true,
      },
    },
  };
  if (url.username !== "") {
    relay.auth = { user: decoded(url.username), pass: decoded(url.password) };
    const method = query.get("authMethod");
    if (method !== null) relay.auth.method = method;
  }
  return relay;
}

function isLoopback(host: string): boolean {
  return /^(?:(?:.+\.)?localhost|127\.\d+\.\d+\.\d+|::1)$/i.test(host);
}

function flag(query: URLSearchParams, key: (typeof OPTIONS)[number]): boolean | undefined {
  const value = query.get(key);
  if (value !== null && value !== "true" && value !== "false") refuse(`has ${key}=${value}, must be true or false`);
  return value === null ? undefined : value === "true";
}

function tlsVersion(value: string | null): "TLSv1.2" | "TLSv1.3" {
  if (value === "TLSv1.2" || value === "TLSv1.3") return value;
  return refuse(`has tls.minVersion=${value}, must be TLSv1.2 or TLSv1.3`);
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse("has a % that begins no escape: write %25 for a % in the user, password or host");
  }
}

function refuse(problem: string): never {
  throw new Error(`SMTP_URL ${problem}`);
}

/** What follows a ? may be the rest of a password. */
function shown(option: string): string {
  return /^[A-Za-z.]{1,40}$/.test(option) ? option : "(not shown)";
}
