/*
 * REDIS_URL: one server, a socket, sentinels or a cluster, each with credentials, and with TLS where it begins with
 * rediss. What is not listed here is refused: ioredis's own parser would let a URL set any option of the client.
 * Messages repeat no part of the URL but the path of `ca`: there may be a password anywhere.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";

interface Credentials {
  /** Unset: Redis's user "default". */
  username?: string;
  password?: string;
}

interface Access extends Credentials {
  /** `ca`: PEM of the authorities that are trusted in place of the well-known ones. */
  tls?: { ca?: string };
}

interface HostPort {
  host: string;
  port: number;
}

interface Database {
  /** Unset: 0. */
  db?: number;
}

/** Where Redis is, as REDIS_URL says. */
export type RedisAddress =
  | ({ kind: "single" } & HostPort & Access & Database)
  | ({ kind: "unix"; path: string } & Credentials)
  /** `sentinel`: the sentinels' own credentials; unset: they have Redis's, or none. */
  | ({ kind: "sentinel"; hosts: HostPort[]; name: string; sentinel?: Credentials } & Access & Database)
  | ({ kind: "cluster"; hosts: HostPort[] } & Access);

const FORM = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^/?#]*)@)?([^/?#@]+)(\/[^?#]*)?(?:\?([^#]*))?$/;
const SOCKET = /^unix:(?:\/\/(?:([^/?#]*)@)?)?(\/[^?#]+)$/;
const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6_379;

/**
 * Undefined when the text is none of the forms of REDIS_URL.
 * @throws with what is wrong, beginning with REDIS_URL
 */
export function parseRedisUrl(text: string): RedisAddress | undefined {
  const [socket, socketUser, path] = SOCKET.exec(text) ?? [];
  if (socket !== undefined) return { kind: "unix", path: path as string, ...credentialsOf(socketUser) };
  const [form, secure, kind, user, list, place = "", query] = FORM.exec(text) ?? [];
  if (form === undefined) return undefined;
  const options = optionsOf(query, [
    ...(secure ? ["ca"] : []),
    ...(kind === "sentinel" ? ["sentinelUser", "sentinelPassword"] : []),
  ]);
  const ca = options.get("ca");
  const access = {
    ...credentialsOf(user),
    ...(secure ? { tls: ca === undefined ? {} : { ca: authoritiesIn(ca) } } : {}),
  };
  const hosts = (list ?? "").split(",").map((one) => hostOf(one, kind === "sentinel" ? SENTINEL_PORT : REDIS_PORT));
  switch (kind) {
    case "cluster":
      return place === "" || place === "/" ? { kind, hosts, ...access } : undefined;
    case "sentinel": {
      const [, name, db] = /^\/([^/]+)(\/.*)?$/.exec(place) ?? [];
      if (name === undefined) return refuse("does not name the master behind its sentinels");
      return { kind, hosts, name: decoded(name), ...databaseOf(db), ...sentinelOf(options), ...access };
    }
    default: {
      const [host, more] = hosts;
      if (host === undefined || more !== undefined) return refuse("names several hosts without sentinel or cluster");
      return { kind: "single", ...host, ...databaseOf(place), ...access };
    }
  }
}

function credentialsOf(user: string | undefined): Credentials {
  if (user === undefined) return {};
  const [, username = "", password = ""] = /^([^:]*):?(.*)$/s.exec(user) ?? [];
  return { ...(username === "" ? {} : { username: decoded(username) }), password: decoded(password) };
}

function sentinelOf(options: ReadonlyMap<string, string>): { sentinel?: Credentials } {
  const [username, password] = [options.get("sentinelUser"), options.get("sentinelPassword")];
  if (password === undefined) return username === undefined ? {} : refuse("has sentinelUser without sentinelPassword");
  return { sentinel: username === undefined ? { password } : { username, password } };
}

function hostOf(text: string, defaultPort: number): HostPort {
  const [, v6, name = v6 ?? "", port = String(defaultPort)] =
    /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const isHost = v6 === undefined ? /^[\w-]+(?:\.[\w-]+)*\.?$/.test(name) : isIP(v6) === 6;
  if (!isHost) refuse("names a host that is none: a name, an address, or an IPv6 address in brackets");
  if (Number(port) === 0 || Number(port) > 65_535) refuse("names a port that is not from 1 to 65535");
  return { host: name, port: Number(port) };
}

/** Redis has 16 databases unless it is told otherwise. */
function databaseOf(place = ""): Database {
  const [form, number = ""] = /^\/?(\d{0,3})$/.exec(place) ?? [];
  if (form === undefined) return refuse("names a database that is not from 0 to 999");
  return number === "" ? {} : { db: Number(number) };
}

/** A plus is a plus: these are no form's fields. */
function optionsOf(query: string | undefined, allowed: readonly string[]): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const pair of query === undefined ? [] : query.split("&")) {
    const [, name = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(pair) ?? [];
    if (!allowed.includes(name))
      refuse(`has an option that it cannot have here: ${allowed.join(", ") || "none"} (a ? in a password is %3F)`);
    if (value === "" || options.has(name)) refuse(`has ${name} without a value, or twice`);
    options.set(name, decoded(value));
  }
  return options;
}

function authoritiesIn(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    return refuse(`has ca=${path}, which cannot be read: ${(error as NodeJS.ErrnoException).code ?? error}`);
  }
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (certificates.length === 0 || !certificates.every(isCertificate))
    return refuse(`has ca=${path}, which holds no certificate in PEM, or a damaged one`);
  return certificates.join("\n");
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse("has a % that begins no escape: a % itself is %25");
  }
}

function refuse(problem: string): never {
  throw new Error(`REDIS_URL ${problem}`);
}
