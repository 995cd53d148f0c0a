#!/usr/bin/env bun
/* The command line, and the only file that touches `process`. Exit status: 0, 1 a fault, 2 usage or configuration. */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { Command, CommanderError } from "commander";
import { version } from "../package.json" with { type: "json" };
import { partitions } from "./cli/partitions.ts";
import { Usage } from "./cli/serviceClient.ts";
import { type Config, ConfigError, describeSettings, loadConfig } from "./config.ts";
import { time, within } from "./domain/time.ts";
import { createLog } from "./log.ts";
import { LogFile } from "./logFile.ts";
import { startService } from "./startService.ts";
import { startWorkerRole } from "./startWorker.ts";
import { strangeSettings, tellOf } from "./strangeSettings.ts";

/** After this the process ends, whatever still hangs; a worker's child sooner, which its successor waits for. */
const HARD_EXIT_MS = 15_000;
const CHILD_HARD_EXIT_MS = 4_000;
/** For the last lines of the log, when nobody reads them. */
const LOG_DRAIN_MS = 1_000;
/** An orphaned worker ends what it has in flight and nothing more; its successor waits for that. */
const ORPHAN_DEADLINE_MS = 1_000;
/** One Ctrl-C comes twice: from the terminal, and passed on by `bun run`. A person's second one comes later. */
const IMPATIENT_MS = 1_000;

// What is written holds customers' data, and is for this user alone.
process.umask(0o077);

const destination = new LogFile(1);

/** stdout is written in the background: nothing may be lost at the end. */
function exit(status: number): never {
  destination.flushSync();
  process.exit(status);
}

function fail(error: unknown): never {
  process.stderr.write(`postpaid: ${error instanceof Error ? error.message : error}\n`);
  exit(error instanceof ConfigError || error instanceof Usage ? 2 : 1);
}

/** By nohup: a listener would undo that. False where it cannot be known, without /proc. */
function isIgnored(signal: number): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
    return (BigInt(`0x${mask}`) >> BigInt(signal - 1)) % 2n === 1n;
  } catch {
    return false;
  }
}

async function start(): Promise<void> {
  const config: Config = loadConfig(process.env);
  const isChild = process.env["POSTPAID_CHILD"] === "1";
  const by = config.ROLE === "worker" ? "worker" : "service";
  const log = createLog({ by, level: config.LOG_LEVEL, plain: config.LOG_PII === "plain", destination });
  if (!isChild)
    for (const one of strangeSettings(process.env)) log.warn({ setting: one.name, meant: one.meant }, tellOf(one));
  const host = { env: process.env, command: [process.execPath, import.meta.path, "start"], log, fail };

  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "uncaught exception");
    exit(1);
  });
  process.on("unhandledRejection", (error) => {
    log.fatal({ err: error }, "unhandled rejection");
    exit(1);
  });

  let endingSince: number | undefined;
  const end = async (why: string, deadlineMs: number) => {
    if (endingSince !== undefined) return; // a mail under way would be cut off, and sent twice
    endingSince = time.monotonicMs();
    log.info({ why, deadlineMs }, "stopping");
    time.after(deadlineMs + (isChild ? CHILD_HARD_EXIT_MS : HARD_EXIT_MS), () => exit(1)).unref();
    // One that still waits for its folder has nothing to stop.
    const started = await within(deadlineMs, running);
    if (started === undefined) exit(1);
    await started.stop(deadlineMs);
    await destination.drain(LOG_DRAIN_MS);
    exit(0);
  };
  // First of all: as PID 1 a process has no default action for these.
  process.on("SIGTERM", () => void end("SIGTERM", config.SHUTDOWN_MS));
  if (isChild) {
    // A terminal sends them to the service as well, which stops the rest in order.
    for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => undefined);
    process.stdin.on("end", () => {
      if (endingSince !== undefined) time.after(ORPHAN_DEADLINE_MS, () => exit(1));
      void end("the service is gone", ORPHAN_DEADLINE_MS);
    });
    process.stdin.resume();
  } else {
    if (!isIgnored(constants.signals.SIGHUP)) process.on("SIGHUP", () => void end("SIGHUP", config.SHUTDOWN_MS));
    process.on("SIGINT", () => {
      if (endingSince !== undefined && time.monotonicMs() - endingSince > IMPATIENT_MS) exit(1);
      void end("SIGINT", config.SHUTDOWN_MS);
    });
  }
  const running = config.ROLE === "worker" ? startWorkerRole(config, host) : startService(config, host);
  await running;
}

function printSettings(format: { json?: true; markdown?: true }): void {
  // `postpaid config | head -1`: whoever reads has had enough.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    error.code === "EPIPE" ? process.exit(0) : fail(error),
  );
  const settings = describeSettings();
  // The documents are for other programs to read.
  const told = format.json || format.markdown ? process.stderr : process.stdout;
  for (const one of strangeSettings(process.env)) told.write(`${tellOf(one)}\n`);
  if (format.json) process.stdout.write(`${JSON.stringify(settings, undefined, 2)}\n`);
  else if (format.markdown) {
    process.stdout.write("| variable | default | allowed | |\n|---|---|---|---|\n");
    for (const { name, default: value, allowed, about } of settings) {
      const cells = [`\`${name}\``, value && `\`${value}\``, allowed.replace(/</g, "&lt;"), about];
      process.stdout.write(`| ${cells.join(" | ")} |\n`);
    }
  } else {
    for (const { name, default: value, allowed, about } of settings) {
      process.stdout.write(`${name}=${value}\n    ${about}\n    Allowed: ${allowed}\n`);
    }
  }
}

/** Prints what a command returns. */
async function print(text: Promise<string>): Promise<void> {
  process.stdout.write(`${await text}\n`);
}

const program = new Command("postpaid")
  .description("A payment completes, an event is posted, the customer gets the mail.")
  .version(version)
  .exitOverride();

program.command("start").description("run the service; its settings come from the environment").action(start);

program
  .command("config")
  .description("print every setting, with its default and what is allowed")
  .option("--json", "as JSON")
  .option("--markdown", "as the README's table")
  .action(printSettings);

program
  .command("partitions")
  .description("print the partitions of a running service, or change their number")
  .argument("[n]", "how many there shall be, 1 to 256; messages stay where they are until they are done")
  .option("--url <url>", "the service (default: POSTPAID_URL, or http://127.0.0.1:PORT)")
  .option("--token <token>", "its admin token (default: POSTPAID_TOKEN, ADMIN_TOKEN or DATA_DIR/admin.token)")
  .option("--json", "as JSON")
  .action((wanted: string | undefined, options) => print(partitions(wanted, options, process.env)));

try {
  await program.parseAsync();
} catch (error) {
  // commander has said what is wrong with the command line
  if (error instanceof CommanderError) exit(error.exitCode === 0 ? 0 : 2);
  fail(error);
}
