/*
 * An append-only file that redis-server refuses to load after a power loss: a file system may leave zeros, or half of
 * it, where the last write was to be.
 *   1. redis-check-aof says up to where the file is good.
 *   2. The rest is cut off by itself where it holds no whole command: it is zeros, or the beginning of one command or
 *      transaction, with zeros behind it. Under appendfsync always nothing of that was acknowledged.
 *   3. The damaged file is kept beside, whole and synced, before anything is cut.
 * What may have been acknowledged is left for a person. Redis's own aof-load-truncated is off: it drops all that stands
 * behind a damaged length without asking. Nothing here is fatal: what is posted meanwhile is journaled.
 */
import { constants, existsSync, readdirSync, statSync } from "node:fs";
import { copyFile, mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { time } from "../domain/time.ts";
import { commandsIn, tailOf } from "./aofTail.ts";

/** How redis-server says that it cannot load what is there: a file of commands, the base, the manifest. */
const REFUSAL = new RegExp(
  `^(?:${[
    "(?:Bad file format|Unexpected end of file|Unrecoverable error|Unknown command '.*') reading the append only file",
    "Error reading the RDB (?:preamble|base file)",
    "Fatal error: the truncated file is not the last",
    "(?:Fatal error: can't open|The) (?:the )?append log file",
    "Unable to obtain the AOF file .* length",
    "Short read or OOM loading DB|Wrong signature trying|Internal error in RDB|Can't handle RDB format",
    "(?:.* )?AOF manifest|File can't be a path|Found (?:duplicate base|a non-monotonic)|Unknown AOF file type",
  ].join("|")})`,
);

/** A tail that is longer is no torn write. */
const MAX_TAIL_BYTES = 64 * 1024 * 1024;

const MANIFEST = "appendonly.aof.manifest";
const INCOMPLETE = ".incomplete";

/** What redis-server can do by itself where this tool is missing is better than nothing. */
export function hasCheckTool(): boolean {
  return Bun.which("redis-check-aof") !== null;
}

interface Damage {
  /** The last file of the manifest, the only one that is written to. */
  file: string;
  size: number;
  /** Up to here it is good. */
  goodUpTo: number;
}

/** Why nothing is repaired, and the command for a person. */
interface Refused {
  why: string;
  byHand: string;
  hint?: string;
  [detail: string]: unknown;
}

/** @throws when redis-server would begin empty, over files that it would not find without their manifest */
export function checkManifest(directory: string): void {
  const folder = join(directory, "appendonlydir");
  if (!existsSync(folder) || existsSync(join(folder, MANIFEST))) return;
  // Redis writes the manifest before its first command.
  const found = readdirSync(folder, { encoding: "utf8" }).find(
    (name) => name.endsWith(".incr.aof") && statSync(join(folder, name)).size > 0,
  );
  if (found === undefined) return;
  const { byHand, hint } = restore(folder);
  throw new Error(`redis would not find ${found} without ${MANIFEST}: ${byHand}, ${hint}`);
}

/** Of one embedded server. */
export class AofRepair {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #retryMs: number;
  /** Whether redis-server would not load its files since the last start; `hears` writes it. */
  #refused = false;
  /** time.monotonicMs(); a repair that failed is not tried before. */
  #nextAt = 0;
  #said = "";

  /** @param directory redis-server's `dir` */
  constructor(directory: string, log: Logger, retryMs: number) {
    this.#directory = directory;
    this.#log = log;
    this.#retryMs = retryMs;
  }

  /** A line of redis-server's log. */
  hears(text: string): void {
    if (REFUSAL.test(text)) this.#refused = true;
    if (text.startsWith("Ready to accept connections")) this.#refused = false;
    if (text.startsWith("!!! Truncating the AOF"))
      this.#log.error({ redis: text }, "redis cut the damaged end off its append-only file: what it held is lost");
  }

  /** Before each start of redis-server. */
  async run(): Promise<void> {
    if (!this.#refused || time.monotonicMs() < this.#nextAt) return;
    this.#refused = false;
    const folder = join(this.#directory, "appendonlydir");
    const refused = await this.#repair(folder).catch((error: unknown) => ({
      why: "the repair failed",
      byHand: fix(folder),
      err: error,
    }));
    if (refused === undefined) return;
    this.#nextAt = time.monotonicMs() + this.#retryMs;
    const { why, ...detail } = refused;
    if (why !== this.#said)
      this.#log.error(detail, `redis cannot read its append-only file, and it is not repaired: ${why}`);
    this.#said = why;
  }

  /** Undefined: it is worth another start. */
  async #repair(folder: string): Promise<Refused | undefined> {
    const damage = await findDamage(folder);
    if ("why" in damage) return damage;
    const { file, size, goodUpTo } = damage;
    const cutBytes = size - goodUpTo;
    const byHand = fix(folder);
    if (cutBytes > MAX_TAIL_BYTES) {
      return { why: "what stands behind the damage is too much for a torn write", file, goodUpTo, cutBytes, byHand };
    }
    const tail = await readTail(join(folder, file), goodUpTo, cutBytes);
    const content = tailOf(tail);
    if (content === "other") {
      const why = "what stands behind the damage may have been acknowledged, and a repair drops all of it";
      return { why, file, goodUpTo, cutBytes, commandsBehind: commandsIn(tail), byHand };
    }
    const keptAs = await keep(this.#directory, folder, file);
    await cut(join(folder, file), goodUpTo);
    const lost =
      content === "zeros"
        ? "the cut part held no command: nothing that was acknowledged under appendfsync always"
        : "the cut part began one write that never was whole: nothing that was acknowledged under appendfsync always";
    this.#log.error({ file, goodUpTo, cutBytes, keptAs, lost }, "the append-only file was damaged, and is repaired");
    this.#said = "";
    return undefined;
  }
}

/** Where the damage begins, or why nobody can tell. */
async function findDamage(folder: string): Promise<Damage | Refused> {
  if (!hasCheckTool()) {
    return { why: "redis-check-aof is not installed (Debian: redis-tools)", byHand: fix(folder) };
  }
  const manifest = await readFile(join(folder, MANIFEST), "utf8").catch(() => "");
  const last = lastFileOf(manifest);
  if (last === undefined) return { why: "its manifest names no file that is written to", ...restore(folder) };
  const child = Bun.spawn(["redis-check-aof", MANIFEST], {
    cwd: folder,
    stdout: "pipe",
    stderr: "ignore",
    stdin: "ignore",
  });
  const [checked] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  const verdicts = checked.matchAll(/^AOF analyzed: filename=(\S+), size=(\d+), ok_up_to=(\d+),.* diff=(\d+)$/gm);
  const [, file, size, goodUpTo] = [...verdicts].find(([, , , , diff]) => diff !== "0") ?? [];
  if (file === last) return { file, size: Number(size), goodUpTo: Number(goodUpTo) };
  const why = `the damage is elsewhere than at the end of ${last}, which was written to last`;
  return { why, checked: checked.slice(-500), ...restore(folder) };
}

/** Lines as `file appendonly.aof.1.incr.aof seq 1 type i`. */
function lastFileOf(manifest: string): string | undefined {
  return [...manifest.matchAll(/^file (\S+) seq \d+ type i$/gm)].at(-1)?.[1];
}

async function readTail(path: string, from: number, length: number): Promise<Buffer> {
  const tail = Buffer.alloc(length);
  const file = await open(path, "r");
  try {
    for (let read = 0; read < length; ) {
      const { bytesRead } = await file.read(tail, read, length - read, from + read);
      if (bytesRead === 0) throw new Error(`${path} is shorter than redis-check-aof said`);
      read += bytesRead;
    }
  } finally {
    await file.close();
  }
  return tail;
}

/** Returns where it is kept. A crash, or a full disk, leaves no folder of that name. */
async function keep(directory: string, folder: string, file: string): Promise<string> {
  for (const name of await readdir(directory)) {
    if (name.endsWith(INCOMPLETE)) await rm(join(directory, name), { recursive: true });
  }
  const beside = join(directory, `damaged-${time.epochMs()}`);
  const incomplete = beside + INCOMPLETE;
  try {
    await mkdir(incomplete, { mode: 0o700 });
    for (const name of [file, MANIFEST]) {
      const copy = join(incomplete, name);
      await copyFile(join(folder, name), copy, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      await sync(copy);
      if ((await stat(copy)).size !== (await stat(join(folder, name))).size) throw new Error(`${copy} is not whole`);
    }
    await sync(incomplete);
    await rename(incomplete, beside);
    await sync(directory);
  } catch (error) {
    await rm(incomplete, { recursive: true, force: true });
    throw error;
  }
  return beside;
}

async function cut(path: string, size: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.truncate(size);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** For a shell. */
const quoted = (path: string) => `'${path.replaceAll("'", `'\\''`)}'`;

function fix(folder: string): string {
  return `cd ${quoted(folder)} && cp -a . ../appendonlydir.kept && redis-check-aof --fix ${MANIFEST}`;
}

/** redis-check-aof repairs neither a base nor a manifest. */
function restore(folder: string): Pick<Refused, "byHand" | "hint"> {
  return {
    byHand: `mv ${quoted(folder)} ${quoted(`${folder}.kept`)}`,
    hint: "then put a good copy in its place; without one redis begins empty, and what it held is in the kept folder alone",
  };
}
