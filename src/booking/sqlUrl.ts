/*
 * BOOKING_SQL_URL and BOOKING_SQL_QUERY, checked at start, as far as that is possible without the database. Messages
 * never repeat the URL: it has a password.
 */

export interface ServerAddress {
  kind: "postgres" | "mysql";
  url: string;
  /** Undefined: the server's default for the user. */
  database: string | undefined;
  /** "db.example:5432", as it stands in reasons and logs. */
  label: string;
}

export interface FileAddress {
  kind: "sqlite";
  filename: string;
  label: string;
}

export type SqlAddress = ServerAddress | FileAddress;

const SERVERS: Record<string, { kind: ServerAddress["kind"]; port: number }> = {
  "postgres:": { kind: "postgres", port: 5432 },
  "postgresql:": { kind: "postgres", port: 5432 },
  "mysql:": { kind: "mysql", port: 3306 },
  "mariadb:": { kind: "mysql", port: 3306 },
};

/**
 * `postgres://`, `postgresql://`, `mysql://`, `mariadb://` with Bun.SQL's own options behind the `?`
 * (`sslmode=verify-full`, `path=/run/postgresql`), or `sqlite:` and a path, which stands as it is: no %20, no options.
 * @throws with what is wrong, beginning with BOOKING_SQL_URL
 * @example parseSqlUrl("postgres://app:pass@db.example/shop").label // "db.example:5432"
 */
export function parseSqlUrl(text: string): SqlAddress {
  const file = /^sqlite:(?:\/\/)?(.*)$/is.exec(text)?.[1];
  if (file !== undefined) return fileAddress(file);

  const url = URL.canParse(text) ? new URL(text) : refuseUrl("is not a URL");
  const server = SERVERS[url.protocol];
  if (server === undefined) {
    return refuseUrl(`begins with ${url.protocol}, must be postgres://, mysql://, mariadb:// or sqlite:`);
  }
  if (url.hostname === "") refuseUrl("names no host");
  const database = decoded(url.pathname.slice(1));
  return {
    kind: server.kind,
    url: text,
    database: database === "" ? undefined : database,
    label: url.searchParams.get("path") ?? `${url.hostname}:${url.port || server.port}`,
  };
}

function fileAddress(filename: string): FileAddress {
  if (filename === "" || filename === ":memory:") refuseUrl("names no file");
  if (filename.includes("?")) refuseUrl("has options behind a ?, where a file takes none");
  return { kind: "sqlite", filename, label: filename };
}

/**
 * One statement with the placeholder of its database: `$1` for Postgres (as often as you like), one `?` for MySQL,
 * either for SQLite. What stands in quotes or comments does not count.
 * @throws with what is wrong, beginning with BOOKING_SQL_QUERY
 * @example checkSqlQuery("SELECT status FROM bookings WHERE id = $1", "postgres")
 */
export function checkSqlQuery(query: string, kind: SqlAddress["kind"]): void {
  const code = query.replace(/'(?:''|[^'])*'|"(?:""|[^"])*"|`[^`]*`|--[^\n]*|\/\*[\s\S]*?\*\//g, " ");
  if (/;\s*\S/.test(code)) refuseQuery("has several statements, must be one");

  const numbered = new Set(code.match(/\$\d+/g) ?? []);
  const marks = code.match(/\?/g)?.length ?? 0;
  const dollar = numbered.size === 1 && numbered.has("$1");
  switch (kind) {
    case "postgres":
      if (!dollar) refuseQuery("must have $1, and no other parameter, where the booking id goes");
      return;
    case "mysql":
      if (marks !== 1) refuseQuery(`has ${marks} times ?, must have it once, where the booking id goes`);
      return;
    case "sqlite":
      if (!(dollar && marks === 0) && !(numbered.size === 0 && marks === 1)) {
        refuseQuery("must have one ?, or $1 and no other parameter, where the booking id goes");
      }
      return;
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuseUrl("has a % that begins no escape: write %25 for a %");
  }
}

function refuseUrl(problem: string): never {
  throw new Error(`BOOKING_SQL_URL ${problem}`);
}

function refuseQuery(problem: string): never {
  throw new Error(`BOOKING_SQL_QUERY ${problem}`);
}
