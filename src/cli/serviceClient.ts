/* What a command asks of a running service: its admin routes, over HTTP. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { timeoutSignal } from "../domain/time.ts";

/** It hit a fault: exit status 1. The message is one line for a person. */
class Fault extends Error {
  override name = "Fault";
}

/** It was called wrongly: exit status 2. */
export class Usage extends Error {
  override name = "Usage";
}

type Env = Readonly<Record<string, string | undefined>>;

export interface ServiceOptions {
  url?: string;
  token?: string;
}

export interface ServiceClient {
  /** @throws Fault */
  get<T>(path: string): Promise<T>;
  /** @throws Fault */
  post<T>(path: string, body: unknown): Promise<T>;
}

const TIMEOUT_MS = 30_000;

/**
 * Options go before POSTPAID_URL and POSTPAID_TOKEN, these before PORT, ADMIN_TOKEN and DATA_DIR/admin.token.
 * @throws Usage
 * @example await openServiceClient({}, process.env).get("/v1/queues")
 */
export function openServiceClient(options: ServiceOptions, env: Env): ServiceClient {
  const text = options.url ?? given(env, "POSTPAID_URL") ?? `http://127.0.0.1:${given(env, "PORT") ?? 3_000}`;
  const base = URL.parse(text);
  if (base === null || !/^https?:$/.test(base.protocol))
    throw new Usage(`--url is ${JSON.stringify(text)}, allowed: an http or https URL`);
  const token = options.token ?? given(env, "POSTPAID_TOKEN") ?? given(env, "ADMIN_TOKEN") ?? keptToken(env);

  async function ask<T>(path: string, init: RequestInit): Promise<T> {
    const response = await fetch(new URL(path, base ?? undefined), {
      ...init,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      signal: timeoutSignal(TIMEOUT_MS),
    }).catch((error: Error) => {
      throw new Fault(`no service answers at ${base?.origin}: ${error.message}`);
    });
    const body = (await response.json().catch(() => ({}))) as { detail?: string; errors?: { detail: string }[] };
    if (response.ok) return body as T;
    const details = [body.detail ?? "", ...(body.errors ?? []).map(({ detail }) => detail)];
    throw new Fault(`the service at ${base?.origin} answers ${response.status}: ${details.join(" ").trim()}`);
  }

  return {
    get: (path) => ask(path, {}),
    post: (path, body) => ask(path, { method: "POST", body: JSON.stringify(body) }),
  };
}

function given(env: Env, name: string): string | undefined {
  return env[name] === "" ? undefined : env[name];
}

function keptToken(env: Env): string {
  const file = join(given(env, "DATA_DIR") ?? "./data", "admin.token");
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    throw new Usage(`there is no admin token: give --token or POSTPAID_TOKEN, or run this where ${file} is`);
  }
}
