/*
 * Which Host a request may name. A page of a stranger's site can make a browser send requests here under its own name
 * (DNS rebinding), and could read the answers. A name that is not ours is therefore refused with 421 (RFC 9110 15.5.20).
 */
import { isIP } from "node:net";
import { problem, refuse } from "./problem.ts";
import type { Refusals } from "./refusals.ts";

const WILDCARDS = ["0.0.0.0", "::", "::0", "0:0:0:0:0:0:0:0"];

/**
 * Ours are HOST, loopback, PUBLIC_HOSTS, and any address where HOST is a wildcard: rebinding needs a name.
 * A request without a Host (HTTP/1.0) comes from no browser.
 * @param host HOST
 * @param publicHosts PUBLIC_HOSTS, in lower case
 */
export function createHostCheck(host: string, publicHosts: readonly string[]): (header: string | null) => boolean {
  const ours = new Set([bare(host), "localhost", ...publicHosts]);
  const anyAddress = WILDCARDS.includes(bare(host));
  let known: string | undefined;
  return (header) => {
    if (header === null || header === known) return true; // mostly the same as before
    const name = bare(header);
    const isOurs = ours.has(name) || isLoopback(name) || (anyAddress && isIP(name) !== 0);
    if (isOurs) known = header;
    return isOurs;
  };
}

export type Fetch = (request: Request, server: unknown) => Response | Promise<Response>;

/** The same, for our hosts alone. */
export function forHosts(isOurs: (header: string | null) => boolean, refusals: Refusals, fetch: Fetch): Fetch {
  return (request, server) => {
    const header = request.headers.get("host");
    return isOurs(header) ? fetch(request, server) : refused(request, server, header);
  };

  async function refused(request: Request, server: unknown, header: string | null): Promise<Response> {
    await refusals.refused(request, server, "host");
    const detail = `The Host is ${JSON.stringify(header?.slice(0, 80))}. Allowed: HOST, loopback, and the names in PUBLIC_HOSTS.`;
    return refuse(problem("misdirected", detail));
  }
}

function isLoopback(name: string): boolean {
  return name === "::1" || name.endsWith(".localhost") || (isIP(name) === 4 && name.startsWith("127."));
}

/** Without port, brackets and the dot of the root, in lower case. */
function bare(authority: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(authority)?.[1];
  const name = bracketed ?? (isIP(authority) === 6 ? authority : authority.replace(/:\d*$/, ""));
  return name.toLowerCase().replace(/\.$/, "");
}
