/*
 * An append-only file that redis-server refuses to load ("Bad file format") after a power loss: a file system may leave
 * zeros where the last write was to be, and aof-load-truncated does not help against them.
 *   1. redis-check-aof says up to where the file is good.
 *   2. The rest is cut off by itself where it holds no whole command: it is zeros, or the beginning of one command or
 *      transaction, with zeros behind it. Under appendfsync always nothing of that was acknowledged.
 *   3. The damaged file is kept beside, whole and synced, before anything is cut.
 * What would drop whole commands is left for a person. Nothing here is fatal: what is posted meanwhile is journaled.
 */
import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { basename, join } from "node:path";
import type { Logger } from "pino";

/** How redis-server says that it cannot load its file: the last one, the base, the manifest. */
export const UNREADABLE =
  /^(?:Bad file format reading the append only file|Short read or OOM loading DB|The AOF manifest file|.* AOF manifest file)/;

/** A tail that is longer is no torn write. */
const MAX_TAIL_BYTES = 64 * 1024 * 1024;

const MANIFEST = "appendonly.aof.manifest";

interface Damage {
  /** The last file of the manifest, the only one that is written to. */
  file: string;
  size: number;
  /** Up to here it is good. */
  goodUpTo: number;
}

/** Whether it is worth another start. @param directory redis-server's `dir` */
export async function repairAof(directory: string, log: Logger): Promise<boolean> {
  const folder = join(directory, "appendonlydir");
  const byHand = `cd ${folder} && cp -a . ../appendonlydir.kept && redis-check-aof --fix ${MANIFEST}`;
  try {
    const damage = await findDamage(folder);
    if (typeof damage === "string") {
      log.error({ byHand }, `redis cannot read its append-only file, and it is not repaired: ${damage}`);
      return false;
    }
    const { file, size, goodUpTo } = damage;
    const tail = readTail(join(folder, file), goodUpTo, size);
    const content = contentOf(tail);
    if (content === "commands") {
      const why = "whole commands stand behind the damage, which a repair would drop";
      log.error(
        { file, goodUpTo, cutBytes: size - goodUpTo, byHand },
        `redis cannot read its append-only file: ${why}`,
      );
      return false;
    }
    const keptAs = keep(directory, folder, file);
    cut(join(folder, file), goodUpTo);
    const lost =
      content === "zeros"
        ? "the cut part held no command: nothing that was acknowledged under appendfsync always"
        : "the cut part began one write that never was whole: nothing that was acknowledged under appendfsync always";
    log.error(
      { file, goodUpTo, cutBytes: size - goodUpTo, keptAs, lost },
      "the append-only file was damaged, and is repaired",
    );
    return true;
  } catch (error) {
    log.error({ err: error, byHand }, "redis cannot read its append-only file, and the repair failed");
    return false;
  }
}

/** Where the damage begins, or why nobody can tell. */
async function findDamage(folder: string): Promise<Damage | string> {
  if (Bun.which("redis-check-aof") === null) return "redis-check-aof is not installed (Debian: redis-tools)";
  const last = lastFileOf(readFileSync(join(folder, MANIFEST), "utf8"));
  if (last === undefined) return "its manifest names no file that is written to";
  const child = Bun.spawn(["redis-check-aof", MANIFEST], {
    cwd: folder,
    stdout: "pipe",
    stderr: "pipe",
    stdin: "ignore",
  });
  const [out] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  const verdicts = [...out.matchAll(/^AOF analyzed: filename=(\S+), size=(\d+), ok_up_to=(\d+),.* diff=(\d+)$/gm)];
  const damaged = verdicts.filter(([, , , , diff]) => diff !== "0");
  const [, file, size, goodUpTo] = damaged[0] ?? [];
  if (damaged.length !== 1 || file === undefined) return "redis-check-aof does not say where the damage is";
  if (file !== last) return `the damage is in ${file}, which is not the one that was written to last`;
  return { file, size: Number(size), goodUpTo: Number(goodUpTo) };
}

/** Lines as `file appendonly.aof.1.incr.aof seq 1 type i`. */
function lastFileOf(manifest: string): string | undefined {
  return [...manifest.matchAll(/^file (\S+) seq \d+ type i$/gm)].at(-1)?.[1];
}

function readTail(path: string, from: number, size: number): Buffer {
  if (size - from > MAX_TAIL_BYTES)
    throw new Error(`the damage begins ${size - from} bytes before the end of the file`);
  const tail = Buffer.alloc(size - from);
  const fd = openSync(path, "r");
  try {
    for (let read = 0; read < tail.length; ) {
      const count = readSync(fd, tail, read, tail.length - read, from + read);
      if (count === 0) break;
      read += count;
    }
  } finally {
    closeSync(fd);
  }
  return tail;
}

/** The beginning of a command, or of a transaction, in Redis's protocol. */
const BEGINNING = /^\*\d*(?:$|\r)/;
const TRANSACTION = "*1\r\n$5\r\nMULTI\r\n";

/** `torn`: one command or transaction that was begun. `commands`: anything else. */
function contentOf(tail: Buffer): "zeros" | "torn" | "commands" {
  let end = tail.length;
  while (end > 0 && tail[end - 1] === 0) end--;
  if (end === 0) return "zeros";
  const text = tail.toString("latin1", 0, end);
  if (!BEGINNING.test(text.slice(0, 20).split("\n", 1)[0] ?? "")) return "commands";
  if (text.startsWith(TRANSACTION)) return text.includes("\r\nEXEC\r\n") ? "commands" : "torn";
  return /\r\n\*\d+\r\n\$/.test(text) ? "commands" : "torn";
}

/** Returns where it is kept. */
function keep(directory: string, folder: string, file: string): string {
  const beside = join(directory, `damaged-${Date.now()}`);
  mkdirSync(beside, { mode: 0o700 });
  for (const name of [file, MANIFEST]) {
    const copy = join(beside, basename(name));
    copyFileSync(join(folder, name), copy, constants.COPYFILE_EXCL);
    syncFile(copy);
    if (statSync(copy).size !== statSync(join(folder, name)).size) throw new Error(`${copy} is not whole`);
  }
  syncFile(beside);
  return beside;
}

function cut(path: string, size: number): void {
  const fd = openSync(path, "r+");
  try {
    ftruncateSync(fd, size);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
