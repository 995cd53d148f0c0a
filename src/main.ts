#!/usr/bin/env bun
/* The command line, and the only file that touches `process`. Exit status: 0, 1 a fault, 2 usage or configuration. */
import { Command, CommanderError } from "commander";
import { version } from "../package.json" with { type: "json" };
import { type Config, ConfigError, describeSettings, loadConfig } from "./config.ts";
import { createLog } from "./log.ts";
import { openDestination } from "./logFile.ts";
import { startService } from "./startService.ts";
import { startWorkerRole } from "./startWorker.ts";

/** After this the process ends, whatever still hangs. */
const HARD_EXIT_MS = 15_000;
/** For the last lines of the log, when nobody reads them. */
const LOG_DRAIN_MS = 1_000;
/** An orphaned worker ends what it has in flight and nothing more; its successor waits for that. */
const ORPHAN_DEADLINE_MS = 1_000;

// What is written holds customers' data, and is for this user alone.
process.umask(0o077);

const destination = openDestination(1);

/** stdout is written in the background: nothing may be lost at the end. */
function exit(status: number): never {
  destination.flushSync();
  process.exit(status);
}

function fail(error: unknown): never {
  process.stderr.write(`postpaid: ${error instanceof Error ? error.message : error}\n`);
  exit(error instanceof ConfigError ? 2 : 1);
}

async function start(): Promise<void> {
  const config: Config = loadConfig(process.env);
  const log = createLog({ level: config.LOG_LEVEL, plain: config.LOG_PII === "plain", destination });
  const host = { env: process.env, command: [process.execPath, import.meta.path, "start"], log };
  const isChild = process.env["POSTPAID_CHILD"] === "1";

  process.on("uncaughtException", (error) => {
    log.fatal({ err: error }, "uncaught exception");
    exit(1);
  });
  process.on("unhandledRejection", (error) => {
    log.fatal({ err: error }, "unhandled rejection");
    exit(1);
  });

  let ending = false;
  const end = async (why: string, deadlineMs: number) => {
    if (ending) exit(1); // asked twice: at once
    ending = true;
    log.info({ why, deadlineMs }, "stopping");
    setTimeout(() => exit(1), deadlineMs + HARD_EXIT_MS).unref();
    await (await running).stop(deadlineMs);
    await destination.drain(LOG_DRAIN_MS);
    exit(0);
  };
  // First of all: as PID 1 a process has no default action for these.
  process.on("SIGTERM", () => void end("SIGTERM", config.SHUTDOWN_MS));
  process.on("SIGINT", () => void end("SIGINT", config.SHUTDOWN_MS));
  if (isChild) {
    process.stdin.on("end", () => void end("the service is gone", ORPHAN_DEADLINE_MS));
    process.stdin.resume();
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

try {
  await program.parseAsync();
} catch (error) {
  // commander has said what is wrong with the command line
  if (error instanceof CommanderError) exit(error.exitCode === 0 ? 0 : 2);
  fail(error);
}
