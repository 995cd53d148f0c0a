/* What the relay took and Redis was not told: kept over a kill -9, a full disk and damage. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Outbox, openOutbox } from "../../src/journal/outbox.ts";
import { keepLines } from "../support/log.ts";

let directory: string;
let file: string;
const opened: Outbox[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  file = join(directory, "outbox.jsonl");
});
afterEach(() => {
  for (const outbox of opened.splice(0)) outbox.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Without an orderly end of the one before it. */
function open(maxBytes?: number, log = keepLines().log): Outbox {
  const outbox = openOutbox(directory, log, maxBytes);
  opened.push(outbox);
  return outbox;
}

const fact = (messageId: string) => ({
  tag: "{pp:0}",
  rank: "0",
  entryId: "1-1",
  messageId,
  attempt: 1,
  reply: "250 ok",
});
const leftIn = (outbox: Outbox) => outbox.left().flatMap(({ facts }) => facts);

test("it knows after a restart what was recorded and not settled, and after another one", () => {
  const outbox = open();
  const first = outbox.record([{ ...fact("m1"), json: "not this" } as never, fact("m2")]);
  outbox.record([fact("m3")]);
  outbox.forget(first);
  outbox.record([fact("m4"), fact("m5")]);
  for (let restart = 0; restart < 2; restart++) expect(leftIn(open())).toEqual(["m3", "m4", "m5"].map(fact));
  const again = open();
  for (const { id } of again.left()) again.forget(id);
  expect(leftIn(again)).toEqual([]);
  again.close();
  expect(leftIn(open())).toEqual([]);
});

test("a new batch has no id of one that is left", () => {
  open().record([fact("m1")]);
  const again = open();
  again.forget(again.record([fact("m2")]));
  again.close();
  expect(leftIn(open())).toEqual([fact("m1")]);
});

test("it forgets what was settled when it is closed in order", () => {
  const outbox = open();
  outbox.forget(outbox.record([fact("m1")]));
  outbox.close();
  expect(leftIn(open())).toEqual([]);
});

test("the file stays small, and loses nothing when it is begun anew", () => {
  const outbox = open(10_000);
  outbox.record([fact("kept")]);
  for (let i = 0; i < 1_000; i++) {
    outbox.forget(outbox.record([fact(`m${i}`)]));
    expect(statSync(file).size).toBeLessThan(11_000);
  }
  outbox.record([fact("last")]);
  expect(leftIn(open())).toEqual([fact("kept"), fact("last")]);
  expect(readdirSync(directory)).toEqual(["outbox.jsonl"]);
});

describe("damage", () => {
  test("of a line costs this line alone, and a copy is kept for a person", () => {
    const outbox = open();
    outbox.record([fact("m1")]);
    appendFileSync(file, '\n{"id":2,"facts":[{"tag":"{pp');
    outbox.record([fact("m2")]);
    const { log, lines } = keepLines();
    expect(leftIn(open(undefined, log))).toEqual([fact("m1"), fact("m2")]);
    expect(lines).toMatchObject([{ lines: 1, msg: "outbox has lines that cannot be read, they are left out" }]);
    const [copy = ""] = readdirSync(directory).filter((name) => name.includes("unreadable"));
    expect(readFileSync(join(directory, copy), "utf8")).toContain('"facts":[{"tag":"{pp\n');
    expect(leftIn(open())).toEqual([fact("m1"), fact("m2")]);
  });

  test.each(["this is no outbox", "\0".repeat(4_096), "null\n7\n{}", '{"id":1,"facts":7}'])(
    "of the whole file (%p) begins a new one",
    (content) => {
      writeFileSync(file, content);
      const outbox = open();
      expect(outbox.left()).toEqual([]);
      outbox.record([fact("m1")]);
      expect(leftIn(open())).toEqual([fact("m1")]);
    },
  );
});

test("while it cannot be begun anew, it goes on in the old file", () => {
  const blocker = join(directory, "outbox.jsonl.new");
  const { log, lines } = keepLines();
  const outbox = open(1_000, log);
  mkdirSync(blocker);
  const ids = Array.from({ length: 20 }, (_, i) => outbox.record([fact(`m${i}`)]));
  expect(leftIn(outbox)).toHaveLength(20);
  for (let i = 0; i < 20; i++) expect(readFileSync(file, "utf8")).toContain(`"m${i}"`);
  expect(new Set(lines.map(({ msg }) => msg))).toEqual(new Set(["outbox cannot be begun anew"]));
  rmSync(blocker, { recursive: true });
  for (const id of ids) outbox.forget(id);
  for (let i = 20; i < 40; i++) outbox.record([fact(`m${i}`)]);
  expect(leftIn(open())).toHaveLength(20);
});

test.each([
  ["recorded", (outbox: Outbox) => outbox.record([fact("m3")]), ["m2", "m3"]],
  ["synced", (outbox: Outbox) => outbox.sync(), ["m2"]],
] as const)("one that was deleted is begun anew when the next one is %s, and that is said once", (_, next, left) => {
  const { log, lines } = keepLines();
  const outbox = open(undefined, log);
  outbox.forget(outbox.record([fact("m1")]));
  outbox.record([fact("m2")]);
  rmSync(file);
  next(outbox);
  outbox.sync();
  expect(lines.map(({ msg }) => msg)).toEqual(["outbox was deleted or replaced, it is begun anew"]);
  expect(leftIn(open())).toEqual(left.map(fact));
});

test("one that cannot be read is put aside for a person", () => {
  mkdirSync(file);
  const { log, lines } = keepLines();
  open(undefined, log).record([fact("m1")]);
  expect(lines.map(({ msg }) => msg)).toEqual(["outbox cannot be read: what a kill -9 interrupted may be sent twice"]);
  expect(readdirSync(directory).filter((name) => name.includes("unreadable"))).toHaveLength(1);
  expect(leftIn(open())).toEqual([fact("m1")]);
});

test("where no file can be, it says so and takes facts all the same", () => {
  rmSync(directory, { recursive: true });
  const { log, lines } = keepLines();
  const outbox = open(undefined, log);
  const id = outbox.record([fact("m1")]);
  outbox.sync();
  outbox.forget(id);
  expect(lines.map(({ msg }) => msg)).toEqual(["outbox cannot be begun: what a kill -9 interrupts may be sent twice"]);
});

test.each([
  ["recorded", (outbox: Outbox) => outbox.record([fact("m3")]), ["m1", "m2", "m3"]],
  ["synced", (outbox: Outbox) => outbox.sync(), ["m1", "m2"]],
] as const)("where a file can be later, it has all of it when the next one is %s", (_, next, left) => {
  open().record([fact("m1")]);
  const blocker = join(directory, "outbox.jsonl.new"); // as a full disk would
  mkdirSync(blocker);
  const { log, lines } = keepLines();
  const outbox = open(undefined, log);
  outbox.record([fact("m2")]);
  rmSync(blocker, { recursive: true });
  next(outbox);
  expect(lines.map(({ msg }) => msg)).toEqual([
    "outbox cannot be begun: what a kill -9 interrupts may be sent twice",
    "outbox can be written again",
  ]);
  expect(leftIn(open())).toEqual(left.map(fact));
});
