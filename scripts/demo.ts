/* Starts the service in a throwaway folder, posts an event, shows the mail, and keeps running unless --once. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { simpleParser } from "mailparser";
import pretty from "pino-pretty";
import { EVENT_EXAMPLE } from "../src/domain/example.ts";
import { SETTINGS } from "../src/settings.ts";

const USAGE = "usage: scripts/demo [--once]   --once: ends when the mail was seen";
const values = options();
const root = join(import.meta.dir, "..");
const dataDir = mkdtempSync(join(tmpdir(), "postpaid-demo-"));
const caught = join(dataDir, "caught");
const MAIL_TIMEOUT_MS = 30_000;
/** A relay or a Redis that this shell is set up for is not for a demo: it would get real mail. */
const NOT_OURS = Object.entries(process.env).filter(([name]) => !(name in SETTINGS) && name !== "POSTPAID_CHILD");

const service = Bun.spawn([process.execPath, join(root, "src/main.ts"), "start"], {
  env: {
    ...Object.fromEntries(NOT_OURS),
    DATA_DIR: dataDir,
    PORT: await freePort(process.env["PORT"] ?? "3000"),
    CATCHER_PORT: await freePort(process.env["CATCHER_PORT"] ?? "1025"),
  },
  stdin: "ignore",
  stdout: "pipe",
  stderr: "inherit",
  detached: true, // Ctrl-C comes here first, and is passed on once
});

let stopped: Promise<void> | undefined;
function stop(): Promise<void> {
  stopped ??= (async () => {
    service.kill("SIGTERM");
    await service.exited;
    rmSync(dataDir, { recursive: true, force: true });
  })();
  return stopped;
}
// SIGHUP: the terminal is closed, and nothing can be said there any more.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => void stop().then(() => process.exit(0)));
process.stdout.on("error", () => void stop().then(() => process.exit(0)));
void service.exited.then((status) => {
  if (stopped !== undefined) return;
  say(`The service ended with status ${status}.`);
  process.exit(1);
});

const started = Promise.withResolvers<string>();
void printLog();

try {
  const url = await started.promise;
  const key = readFileSync(join(dataDir, "ingest.key"), "utf8").trim();
  const event = {
    ...EVENT_EXAMPLE,
    id: `evt_demo_${Date.now()}`,
    occurredAt: new Date().toISOString(),
    options: { delayMs: 1_000 },
  };
  say("A payment completes, and the booking backend posts the event:", JSON.stringify(event, undefined, 2));
  const authorization = `Bearer ${key}`;
  const response = await fetch(new URL("/v1/events", url), {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify(event),
  });
  const accepted = (await response.json()) as { id: string };
  say(`The service answered ${response.status}:`, JSON.stringify(accepted, undefined, 2));
  if (response.status !== 202) throw new Error("the event was not accepted");

  await showMail(await mailFor(accepted.id));
  const message = await (
    await fetch(new URL(`/v1/messages/${accepted.id}`, url), { headers: { authorization } })
  ).json();
  say("What the service says of it:", JSON.stringify(message, undefined, 2));
  say(`The dashboard: ${url}`, `The API:       ${new URL("/docs", url)}`, `Ingest key:    ${key}`);
  if (values.once) {
    await stop();
    process.exit(0);
  }
  say("It keeps running until Ctrl-C.");
} catch (error) {
  say(`The demo failed: ${error instanceof Error ? error.message : error}`);
  await stop();
  process.exit(1);
}

function say(...lines: string[]): void {
  process.stdout.write(`\n\x1b[1m${lines[0]}\x1b[0m\n${lines.slice(1).join("\n")}\n`);
}

/** The service's JSON lines, readable; the one that says where it listens resolves `started`. */
async function printLog(): Promise<void> {
  const readable = pretty({
    colorize: process.stdout.isTTY,
    destination: process.stdout,
    ignore: "pid,by",
    messageFormat: "{by}: {msg}",
  });
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of service.stdout) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      readable.write(`${line}\n`);
      const url = urlIn(line);
      if (url !== undefined) started.resolve(url);
    }
  }
}

/** Undefined: it is another line, which need not be JSON. */
function urlIn(line: string): string | undefined {
  if (!line.includes('"service started"')) return undefined;
  try {
    const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
    return msg === "service started" ? url : undefined;
  } catch {
    return undefined;
  }
}

async function mailFor(messageId: string): Promise<Buffer> {
  for (const deadline = Date.now() + MAIL_TIMEOUT_MS; Date.now() < deadline; await Bun.sleep(50)) {
    if (!existsSync(caught)) continue;
    const file = readdirSync(caught, { withFileTypes: true }).find(({ name }) => name.endsWith(`${messageId}.eml`));
    if (file !== undefined) return readFileSync(join(caught, file.name));
  }
  throw new Error(`no mail was caught within ${MAIL_TIMEOUT_MS / 1000} s`);
}

async function showMail(raw: Buffer): Promise<void> {
  const mail = await simpleParser(raw);
  const headers = mail.headerLines.map(({ key }) => `${key}: ${headerText(mail.headers.get(key))}`);
  say("The mail that the customer got, as the catcher kept it:", ...headers, "", mail.text ?? "");
}

function headerText(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Date) return value.toUTCString();
  const { text, value: first, params } = value as { text?: string; value?: string; params?: Record<string, string> };
  const parameters = Object.entries(params ?? {}).map(([name, parameter]) => `; ${name}=${parameter}`);
  return text ?? `${first}${parameters.join("")}`;
}

/** The port, or "0" (any) when somebody listens there. */
function freePort(port: string): Promise<string> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve("0"));
    probe.listen(Number(port), "127.0.0.1", () => probe.close(() => resolve(port)));
  });
}

function options() {
  try {
    const { values } = parseArgs({ options: { once: { type: "boolean" }, help: { type: "boolean", short: "h" } } });
    if (!values.help) return values;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}
