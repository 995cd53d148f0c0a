/* The rules of the layout, held against the source as text. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** Path below src -> text. */
type Files = ReadonlyMap<string, string>;

const SRC = join(import.meta.dir, "../src");

const MAX_LINES = 250;

/** What a part may import, beside itself. A part that is not here may be imported by the root alone. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  domain: [],
  types: ["domain"],
  stream: ["domain", "types"],
  journal: ["domain", "types"],
  booking: ["domain"],
  mail: ["domain", "types"],
  http: ["domain", "types", "stream", "journal", "booking"],
  worker: ["domain", "types", "stream", "journal", "booking", "mail"],
  doctor: ["domain", "types", "stream", "journal", "booking", "mail"],
  client: [],
  cli: ["domain"],
};

/** These start the service or stand in for its users: they may import all parts. */
const ROOTS = ["", "testkit"];

function readSource(): Files {
  const paths = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((path) =>
    /\.(?:ts|tsx|lua)$/.test(path),
  );
  return new Map(paths.map((path) => [path, readFileSync(join(SRC, path), "utf8")]));
}

function codeOf(files: Files): [string, string][] {
  const code = [...files].filter(([path]) => !path.endsWith(".lua"));
  if (code.length === 0) throw new Error("there is no source to check");
  return code.map(([path, text]) => [path, withoutComments(text)]);
}

/** Strings are stepped over, so that a URL does not start a comment. */
function withoutComments(text: string): string {
  const token = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(token, (found) => (found.startsWith("/") ? "" : found));
}

function importsOf(code: string): string[] {
  const forms =
    /\bfrom\s*["']([^"']+)["']|\bimport\s*["']([^"']+)["']|\b(?:import|require)\s*\(\s*["'`]([^"'`]+)["'`]/g;
  return [...code.matchAll(forms)].map(([, from, sideEffect, dynamic]) => from ?? sideEffect ?? dynamic ?? "");
}

/** "" for a file at the top of src. */
function partOf(path: string): string {
  return path.includes("/") ? (path.split("/")[0] as string) : "";
}

function wrongImports(files: Files): string[] {
  return codeOf(files).flatMap(([path, code]) =>
    importsOf(code)
      .filter((name) => name.startsWith("."))
      .map((name) => normalize(join(dirname(path), name)))
      .filter((target) => !mayImport(path, target))
      .map((target) => `${path} imports ${target}`),
  );
}

function mayImport(path: string, target: string): boolean {
  const [from, to] = [partOf(path), partOf(target)];
  if (ROOTS.includes(from)) return !target.startsWith("..") || target === "../package.json";
  return from === to || (MAY_IMPORT[from]?.includes(to) ?? false);
}

function touchesProcess(files: Files): string[] {
  const touch =
    /(?<![.\w$])process\s*(?:\.|\?\.|\[)|(?:=|\(|,|\{)\s*process\b(?!\s*:)|\b(?:Bun|import\.meta|globalThis)\s*\.\s*(?:env|process|argv)\b/;
  return codeOf(files)
    .filter(([path]) => path !== "main.ts")
    .filter(
      ([, code]) =>
        touch.test(withoutStrings(code)) || importsOf(code).some((name) => /^(?:node:)?process$/.test(name)),
    )
    .map(([path]) => path);
}

function withoutStrings(code: string): string {
  return code.replace(/"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g, '""');
}

/** `new Date(x)` reads no clock. The client imports nothing, and has its own. */
function readsClock(files: Files): string[] {
  const touch =
    /\bDate\s*\.\s*now\b|(?<![.\w$])(?:new\s+Date\s*(?:\(\s*\)|(?![\s(\w.<]))|Date\s*\(\s*\))|(?<![.\w$])performance\b|(?<![\w$])(?:set|clear)(?:Timeout|Interval|Immediate)\b|\bBun\s*\.\s*(?:sleep|sleepSync|nanoseconds)\b|\bMath\s*\.\s*random\b|\bhrtime\b|\bAbortSignal\s*\.\s*timeout\b/;
  return codeOf(files)
    .filter(([path]) => path !== "domain/time.ts" && partOf(path) !== "client")
    .filter(
      ([, code]) =>
        touch.test(withoutStrings(code)) ||
        importsOf(code).some((name) => /^(?:node:)?(?:timers|perf_hooks)\b/.test(name)),
    )
    .map(([path]) => path);
}

/** Whoever starts a program may say what its clock is. */
function setsClock(files: Files): string[] {
  return codeOf(files)
    .filter(([path]) => path !== "domain/time.ts" && !ROOTS.includes(partOf(path)))
    .filter(([, code]) => /(?<![.\w$])setTime\b/.test(withoutStrings(code)))
    .map(([path]) => path);
}

function tooLong(files: Files): string[] {
  codeOf(files);
  return [...files].filter(([, text]) => text.trimEnd().split("\n").length > MAX_LINES).map(([path]) => path);
}

/** A line that names a type of events, in a file that is not of its folder. The example of the documents has to. */
function namesOfTypes(files: Files): string[] {
  const types = [...files.keys()].flatMap((path) => /^types\/([^/]+)\/event\.ts$/.exec(path)?.[1] ?? []);
  if (types.length === 0) throw new Error("there is no type of events to check");
  return codeOf(files).flatMap(([path, code]) => {
    if (path === "domain/example.ts" || path.startsWith("client/")) return [];
    const elsewhere = types.filter((type) => !path.startsWith(`types/${type}/`));
    const lines = code.split("\n").filter((line) => !/\bfrom\s*"/.test(line));
    return lines
      .filter((line) => elsewhere.some((type) => line.includes(type)))
      .map((line) => `${path}: ${line.trim()}`);
  });
}

/** Each Lua file with the files that import it. */
function importersOfLua(files: Files): Map<string, string[]> {
  const importers = new Map(
    [...files.keys()].filter((path) => path.endsWith(".lua")).map((path) => [path, [] as string[]]),
  );
  for (const [path, code] of codeOf(files)) {
    for (const name of importsOf(code).filter((one) => one.endsWith(".lua"))) {
      importers.get(normalize(join(dirname(path), name)))?.push(path);
    }
  }
  if (importers.size === 0) throw new Error("there is no Lua to check");
  return importers;
}

function wronglyImportedLua(files: Files): string[] {
  return [...importersOfLua(files)].filter(([, importers]) => importers.length !== 1).map(([path]) => path);
}

/** The prelude is no script of its own. */
function luaWithoutHeader(files: Files): string[] {
  return [...importersOfLua(files).keys()].filter((path) => {
    const header = /^--\[\[([\s\S]*?)\]\]/.exec(files.get(path) ?? "")?.[1] ?? "";
    if (path.endsWith("prelude.lua")) return header === "";
    return !/KEYS\[1\]/.test(header) || !/ARGV\[1\]/.test(header) || !/Returns|Reads only/.test(header);
  });
}

/** The feed is the one stream that may be: from any other, entries would go that nobody has dealt with. */
function trims(files: Files): string[] {
  codeOf(files);
  return [...files].flatMap(([path, text]) =>
    text
      .split("\n")
      .filter((line) => /\b(?:xtrim|maxlen|minid)\b/i.test(line) && !/\bFEED\b/.test(line))
      .map((line) => `${path}: ${line.trim()}`),
  );
}

const files = readSource();

describe("the source", () => {
  test("imports one way only", () => {
    expect(wrongImports(files)).toEqual([]);
  });

  test("has no part that the rules do not know", () => {
    const parts = new Set([...files.keys()].map(partOf));
    expect([...parts].filter((part) => !ROOTS.includes(part) && MAY_IMPORT[part] === undefined)).toEqual([]);
  });

  test("touches the process in main.ts alone", () => {
    expect(touchesProcess(files)).toEqual([]);
  });

  test("reads time and chance through their port", () => {
    expect(readsClock(files)).toEqual([]);
    expect(setsClock(files)).toEqual([]);
  });

  test(`has no file over ${MAX_LINES} lines`, () => {
    expect(tooLong(files)).toEqual([]);
  });

  test("names a type of events in its own folder alone", () => {
    expect(namesOfTypes(files)).toEqual([]);
  });

  test("uses each Lua file in exactly one place", () => {
    expect(wronglyImportedLua(files)).toEqual([]);
  });

  test("trims no stream but the feed", () => {
    expect(trims(files)).toEqual([]);
  });

  test("says at the top of each Lua file what its keys, arguments and answers are", () => {
    expect(luaWithoutHeader(files)).toEqual([]);
  });
});

test("mailparser uses our nodemailer, not the older one that it asks for, which has advisories against it", () => {
  const nodemailerOf = (directory: string) => Bun.resolveSync("nodemailer/package.json", directory);
  expect(nodemailerOf(dirname(Bun.resolveSync("mailparser/package.json", SRC)))).toBe(nodemailerOf(SRC));
});

describe("these rules", () => {
  const lua = "--[[ A -> B.\n  KEYS[1] tag   ARGV[1] id\n  Returns 1. ]]\nreturn 1";
  const good = new Map([
    ["main.ts", 'import { x } from "./start.ts";\nprocess.exit(0);'],
    [
      "start.ts",
      'import "./http/app.ts";\nimport "./worker/worker.ts";\n// process.env is not for us\nconst a = "process.env";',
    ],
    [
      "http/app.ts",
      'import type { Ingress } from "../domain/ingress.ts";\nimport type { S } from "../stream/store.ts";',
    ],
    ["worker/worker.ts", 'import { m } from "../mail/mailer.ts";\nimport { t } from "../stream/take.ts";'],
    [
      "stream/take.ts",
      'import source from "./take.lua" with { type: "text" };\nimport { url } from "https://x/process";',
    ],
    ["stream/take.lua", lua],
    ["domain/event.ts", 'import { z } from "zod";\nimport { State } from "./lifecycle.ts";'],
    ["types/index.ts", 'export { paid } from "./payment.completed/event.ts";'],
    ["types/payment.completed/event.ts", 'export const paid = { name: "payment.completed" };'],
    ["domain/example.ts", 'export const EXAMPLE = { type: "payment.completed" };'],
  ]);
  const ofImports = [wrongImports, touchesProcess, readsClock, setsClock];
  const rules = [...ofImports, tooLong, wronglyImportedLua, luaWithoutHeader, trims, namesOfTypes];
  const withFile = (path: string, text: string) => new Map([...good, [path, text]]);

  test("find nothing wrong where nothing is", () => {
    for (const rule of rules) {
      expect(rule(good), rule.name).toEqual([]);
    }
  });

  test("fail where there is nothing to check", () => {
    const nothing = new Map<string, string>();
    for (const rule of rules) {
      expect(() => rule(nothing), rule.name).toThrow("there is no");
    }
    expect(files.size).toBeGreaterThan(40);
    expect(codeOf(files).flatMap(([, code]) => importsOf(code)).length).toBeGreaterThan(100);
  });

  test.each([
    ["http/x.ts", 'import { m } from "../mail/mailer.ts";', "mail/mailer.ts"],
    ["http/x.ts", 'import type { W } from "../worker/worker.ts";', "worker/worker.ts"],
    ["http/x.ts", 'import "../worker/worker.ts";', "worker/worker.ts"],
    ["http/x.ts", 'const m = await import("../mail/mailer.ts");', "mail/mailer.ts"],
    ["http/x.ts", 'export * from "../mail/mailer.ts";', "mail/mailer.ts"],
    ["http/x.ts", 'import {\n  a,\n  b,\n} from "../worker/loop.ts";', "worker/loop.ts"],
    ["http/deep/x.ts", 'import { m } from "../../mail/mailer.ts";', "mail/mailer.ts"],
    ["http/x.ts", 'import { c } from "../config.ts";', "config.ts"],
    ["stream/x.ts", 'import { m } from "../mail/mailer.ts";', "mail/mailer.ts"],
    ["stream/x.ts", 'import { l } from "../journal/lock.ts";', "journal/lock.ts"],
    ["mail/x.ts", 'import { t } from "../stream/take.ts";', "stream/take.ts"],
    ["journal/x.ts", 'import { t } from "../stream/take.ts";', "stream/take.ts"],
    ["booking/x.ts", "import { t } from '../journal/lock.ts';", "journal/lock.ts"],
    ["worker/x.ts", 'import { a } from "../http/app.ts";', "http/app.ts"],
    ["doctor/x.ts", 'import { a } from "../http/app.ts";', "http/app.ts"],
    ["domain/x.ts", 'import { t } from "../stream/take.ts";', "stream/take.ts"],
    ["domain/x.ts", 'import { c } from "../config.ts";', "config.ts"],
    ["client/x.ts", 'import { e } from "../domain/event.ts";', "domain/event.ts"],
    ["start.ts", 'import { e } from "../test/support/event.ts";', "../test/support/event.ts"],
  ])("find a wrong import in %s: %s", (path, text, target) => {
    expect(wrongImports(withFile(path, text))).toEqual([`${path} imports ${target}`]);
  });

  test.each([
    "process.exit(1);",
    'const home = process["env"].HOME;',
    "const { env } = process;",
    "run(process);",
    'import { env } from "node:process";',
    'import process from "process";',
    "const home = Bun.env.HOME;",
    "const home = import.meta.env.HOME;",
    "globalThis.process.exit();",
    'const url = "http://x"; process.exit();',
  ])("find a touch of the process: %s", (text) => {
    expect(touchesProcess(withFile("http/x.ts", text))).toEqual(["http/x.ts"]);
  });

  test.each([
    "/* process.exit() */",
    "// process.env",
    'const text = "process.env";',
    "const options = { process: 1 };",
    "child.process.kill();",
    "const processId = 1; processId.toString();",
  ])("find none in: %s", (text) => {
    expect(touchesProcess(withFile("http/x.ts", text))).toEqual([]);
  });

  test.each([
    "const at = Date.now();",
    "const now = Date.now;",
    "const at = new Date();",
    "const at = new Date;",
    "const text = Date();",
    "const at = performance.now();",
    "await Bun.sleep(5);",
    "Bun.sleepSync(5);",
    "setTimeout(done, 5);",
    "let timer: ReturnType<typeof setInterval>;",
    "setImmediate(done);",
    "clearTimeout(timer);",
    "globalThis.setTimeout(done, 5);",
    "const jitter = Math.random();",
    "fetch(url, { signal: AbortSignal.timeout(5) });",
    'import { setTimeout as sleep } from "node:timers/promises";',
    'import { performance as p } from "node:perf_hooks";',
  ])("find a clock that is read past the port: %s", (text) => {
    expect(readsClock(withFile("worker/x.ts", text))).toEqual(["worker/x.ts"]);
    expect(readsClock(withFile("client/x.ts", text))).toEqual([]);
    expect(readsClock(withFile("domain/time.ts", text))).toEqual([]);
  });

  test.each([
    "const at = new Date(epochMs).toISOString();",
    'const at = new Date(iso + "Z");',
    "const at: Date = other;",
    'const text = "Date.now() and setTimeout()";',
    "// performance.now()",
    "const performanceOf = 1;",
  ])("find no clock in: %s", (text) => {
    expect(readsClock(withFile("worker/x.ts", text))).toEqual([]);
  });

  test("find a clock that is set below the root", () => {
    const text = 'import { setTime } from "../domain/time.ts";\nsetTime(other);';
    expect(setsClock(withFile("worker/x.ts", text))).toEqual(["worker/x.ts"]);
    expect(setsClock(withFile("testkit/x.ts", text))).toEqual([]);
    expect(setsClock(withFile("worker/x.ts", "date.setTime(5);"))).toEqual([]);
  });

  test("find a file that is too long, at its first line too many", () => {
    expect(tooLong(withFile("http/x.ts", "x;\n".repeat(MAX_LINES)))).toEqual([]);
    expect(tooLong(withFile("http/x.ts", "x;\n".repeat(MAX_LINES + 1)))).toEqual(["http/x.ts"]);
    expect(tooLong(withFile("stream/x.lua", "x\n".repeat(MAX_LINES + 1)))).toEqual(["stream/x.lua"]);
  });

  test.each([
    ["mail/view.ts", 'const refund = event.type === "payment.completed" ? 1 : 2;'],
    ["types/understand.ts", 'parse({ type: "payment.completed" });'],
    ["types/payment.refunded/view.ts", 'const also = "payment.completed";'],
    ["http/schemas.ts", "const type = z.literal(`payment.completed`);"],
  ])("find a type that is named in %s: %s", (path, line) => {
    expect(namesOfTypes(withFile(path, line))).toEqual([`${path}: ${line}`]);
    expect(
      namesOfTypes(withFile(path, '/* payment.completed */ import x from "./payment.completed/event.ts";')),
    ).toEqual([]);
  });

  test("find a Lua file that nobody imports, or two files do", () => {
    expect(wronglyImportedLua(withFile("stream/x.lua", lua))).toEqual(["stream/x.lua"]);
    const again = 'import s from "../stream/take.lua" with { type: "text" };';
    expect(wronglyImportedLua(withFile("worker/x.ts", again))).toEqual(["stream/take.lua"]);
  });

  test.each([
    ["stream/take.lua", "redis.call('XADD', QUEUE[rank], 'MAXLEN', 1000, '*', 'm', id)"],
    ["stream/take.lua", "redis.call('XTRIM', DEAD, 'MINID', '~', 5)"],
    ["stream/take.ts", 'await redis.xtrim(key.dead(tag), "MAXLEN", 5);'],
  ])("find a trimmed stream in %s: %s", (path, line) => {
    expect(trims(withFile(path, line))).toEqual([`${path}: ${line}`]);
    expect(trims(withFile(path, "redis.call('XTRIM', FEED, 'MAXLEN', '~', 5)"))).toEqual([]);
  });

  test("find a Lua file without its header", () => {
    expect(luaWithoutHeader(withFile("stream/take.lua", "return redis.call('GET', KEYS[1], ARGV[1])"))).toEqual([
      "stream/take.lua",
    ]);
    expect(luaWithoutHeader(withFile("stream/take.lua", "--[[ A -> B. Returns 1. ]]\nKEYS[1]"))).toEqual([
      "stream/take.lua",
    ]);
  });
});
