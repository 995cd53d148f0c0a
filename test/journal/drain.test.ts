/* The drain over a real journal and an ingress that answers what the test wants. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Ingress } from "../../src/domain/ingress.ts";
import { createFallback, type FallbackIngress } from "../../src/journal/fallback.ts";
import { Journal } from "../../src/journal/journal.ts";
import { openRollbackReader } from "../../src/journal/reader.ts";
import { eventWith } from "../support/event.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";

type Kind = "post" | "commit" | "rollback";
/** A number: taken over this connection, on too few replicas. */
type Answer = "taken" | "away" | "full" | "not found" | number;

let directory: string;
let journal: Journal;
let fallback: FallbackIngress;
let lines: ReturnType<typeof keepLines>;
/** What the ingress was asked, in order: "post e1". */
let asked: string[];
/** What it took. */
let took: string[];
/** Throws what the ingress is to reject with. */
let answerOf: (kind: Kind, eventId: string) => Answer;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  lines = keepLines();
  journal = new Journal(directory, 100_000_000, lines.log);
  asked = [];
  took = [];
  answerOf = () => "away";
  open(journal);
});
afterEach(async () => {
  await fallback.stop();
  journal.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Two partitions: what begins with "b" is in the second. */
function open(over: Journal): void {
  fallback = createFallback({
    inner,
    journal: over,
    messageIdOf: (eventId) => `msg_${eventId}`,
    partitions: () => 2,
    partitionOf: (eventId) => (eventId.startsWith("b") ? 1 : 0),
    delayMs: 0,
    firstCheckMs: 1,
    log: lines.log,
    now: Date.now,
    random: () => 0,
    maxPauseMs: 1,
  });
}

function ask<T>(kind: Kind, eventId: string, taken: T) {
  asked.push(`${kind} ${eventId}`);
  const answer = answerOf(kind, eventId);
  if (answer === "away") return { kind: "unavailable", reason: "away" } as const;
  if (answer === "not found") return { kind: "not_found" } as const;
  if (typeof answer === "number") return { kind: "unavailable", reason: "too few", writtenOver: answer } as const;
  if (answer === "taken") took.push(`${kind} ${eventId}`);
  return answer === "full" ? ({ kind: "full", limit: 1 } as const) : taken;
}

const inner = {
  post: async ({ id }) =>
    ask("post", id, {
      kind: "accepted",
      messageId: id,
      state: "queued",
      dueAt: 0,
      duplicate: false,
      durability: "fsynced",
    } as const),
  commit: async (id) => ask("commit", id, { kind: "committed", messageId: id, state: "queued", dueAt: 0 }),
  rollback: async (id) => ask("rollback", id, { kind: "cancelled", messageId: id, state: "cancelled" }),
} as Ingress;

const drained = () => lines.waitFor(({ msg }) => msg === "journal drained");
const linesOf = (msg: string) => lines.lines.filter((line) => line["msg"] === msg).length;

describe("an error that nobody foresaw", () => {
  test("said to all puts nothing aside, is logged once, and is over when it is over", async () => {
    await fallback.rollback("rolled-back");
    await Promise.all(Array.from({ length: 40 }, (_, n) => fallback.post(eventWith(`e${n}`))));
    answerOf = () => {
      throw new Error("ERR upstream failure");
    };
    asked = [];
    await until("each was asked 40 times", () => asked.length > 40 * 41, 20_000);
    expect(journal.stats()).toMatchObject({ depth: 41, rejected: 0 });
    expect(linesOf("redis failed, what it did not take is journaled")).toBe(1);
    answerOf = () => "taken";
    await drained();
    expect(took).toHaveLength(41);
    expect(journal.stats()).toMatchObject({ depth: 0, rejected: 0 });
  });

  test("said to one kind of entry only puts none of them aside", async () => {
    await fallback.post(eventWith("e1"));
    answerOf = (kind) => {
      if (kind === "post") throw new Error("ERR Error compiling script");
      return "taken";
    };
    let n = 0;
    await until("it failed 40 times, others being taken", async () => {
      await fallback.rollback(`r${n++}`);
      return asked.filter((one) => one === "post e1").length > 40;
    });
    expect(journal.stats()).toMatchObject({ depth: 1, rejected: 0 });
  });

  test("met by a direct post or decision sends it to the journal", async () => {
    answerOf = () => {
      throw new Error("ERR upstream failure");
    };
    expect(await fallback.post(eventWith("e1"))).toMatchObject({ kind: "accepted", durability: "journaled" });
    expect(await fallback.rollback("e2")).toMatchObject({ kind: "journaled" });
    answerOf = () => "taken";
    await drained();
    expect(took).toEqual(["post e1", "rollback e2"]);
  });
});

describe("too few replicas", () => {
  const entries = ["post e0", "post e1", "commit e1", "rollback e2"];
  const timesOf = (entry: string) => asked.filter((one) => one === entry).length;

  beforeEach(async () => {
    answerOf = () => 1;
    await Promise.all([fallback.post(eventWith("e0")), fallback.post(eventWith("e1"))]);
    await fallback.commit("e1");
    await fallback.rollback("e2");
    await until("one of them finds out", () => timesOf("post e0") > 10);
  });

  test("what Redis has stays, is not put there with each pass, and is taken over in order at last", async () => {
    for (const entry of entries.slice(1)) expect(timesOf(entry)).toBeLessThan(5);
    expect(journal.depth()).toBe(4);
    answerOf = () => "taken";
    await drained();
    expect(took).toEqual(entries);
  });

  test("over another connection all is put again, in order", async () => {
    asked = [];
    answerOf = () => 2;
    await until("all is put again", () => asked.includes("rollback e2"));
    const again = asked.slice(asked.lastIndexOf("post e0", asked.indexOf("post e1")));
    expect(again.slice(0, 4)).toEqual(entries);
    expect(journal.depth()).toBe(4);
  });

  test("a commit that finds no event, which is in the journal, shows that all is to be put again", async () => {
    answerOf = (_, eventId) => (eventId === "late" ? "not found" : 1);
    await fallback.post(eventWith("late"));
    await fallback.commit("late");
    asked = [];
    await until("the others are put again", () => timesOf("rollback e2") > 1);
    expect(journal.find("late").map(({ kind }) => kind)).toEqual(["post", "commit"]);
    answerOf = () => "taken";
    await drained();
    expect(took.filter((one) => one.endsWith("late"))).toEqual(["post late", "commit late"]);
  });
});

describe("an entry that fails by itself, others of its kind and partition being taken", () => {
  const guilty = () => {
    answerOf = (_, eventId) => {
      if (eventId === "guilty") throw new Error("WRONGTYPE Operation against a key");
      return "taken";
    };
  };

  test("holds up none of them, and is put aside in the end", async () => {
    await fallback.post(eventWith("guilty"));
    await fallback.post(eventWith("e1"));
    guilty();
    let n = 0;
    await until("it is put aside", async () => {
      await fallback.post(eventWith(`next${n++}`));
      return journal.stats().rejected === 1;
    });
    await drained();
    expect(took).toContain("post e1");
    expect(n).toBeGreaterThan(10);
    expect(linesOf("journal entry put aside, it cannot be taken over")).toBe(1);
  });

  test("is kept while only another partition takes what it is asked", async () => {
    await fallback.post(eventWith("guilty"));
    guilty();
    let n = 0;
    await until("it failed 40 times", async () => {
      await fallback.post(eventWith(`b${n++}`));
      return asked.filter((one) => one === "post guilty").length > 40;
    });
    expect(journal.stats()).toMatchObject({ depth: 1, rejected: 0 });
  });

  test("as a rollback that is put aside still stops the mail", async () => {
    await fallback.rollback("guilty");
    guilty();
    let n = 0;
    await until("it is put aside", async () => {
      await fallback.rollback(`next${n++}`);
      return journal.stats().rejected === 1;
    });
    const reader = openRollbackReader(directory, lines.log);
    expect(reader.isRolledBack("guilty")).toBe(true);
    reader.close();
  });
});

test("a journal that cannot be read for a while is said once, and drained when it can", async () => {
  await fallback.stop();
  let reads = 0;
  let readable = true;
  const real = journal;
  const oldest: Journal["oldest"] = (limit, after) => {
    reads += 1;
    if (!readable) throw Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR_READ" });
    return real.oldest(limit, after);
  };
  open(
    new Proxy(real, {
      get(target, name) {
        const it = Reflect.get(target, name) as unknown;
        return name === "oldest" ? oldest : typeof it === "function" ? it.bind(target) : it;
      },
    }),
  );
  await fallback.post(eventWith("e1"));
  readable = false;
  reads = 0;
  await until("it was read again and again", () => reads > 5);
  expect(linesOf("journal cannot be read or shortened, it is tried again")).toBe(1);
  readable = true;
  answerOf = () => "taken";
  await drained();
  expect(took).toEqual(["post e1"]);
});

describe("what cannot go now keeps back no more than it must", () => {
  test("a partition that is away: the entries of the other one go on, and its new posts go straight through", async () => {
    await fallback.rollback("bad");
    for (let n = 0; n < 20; n++) await fallback.post(eventWith(`e${n}`));
    answerOf = (_, eventId) => (eventId.startsWith("b") ? "away" : "taken");
    await until("the other's are taken", () => journal.stats().depth === 1);
    expect(took).toHaveLength(20);
    expect(await fallback.post(eventWith("new"))).toMatchObject({ durability: "fsynced" });
    expect(await fallback.post(eventWith("b1"))).toMatchObject({ durability: "journaled" });
    answerOf = () => "taken";
    await drained();
    expect(took.slice(-2)).toEqual(["rollback bad", "post b1"]);
  });

  test("a full backlog: the rollback that makes room is reached, however many posts are before it", async () => {
    await Promise.all(Array.from({ length: 1_200 }, (_, n) => fallback.post(eventWith(`e${n}`, { hold: true }))));
    await fallback.commit("e1100");
    await fallback.rollback("older");
    answerOf = (kind) => (kind === "post" && !took.includes("rollback older") ? "full" : "taken");
    await drained();
    expect(took[0]).toBe("rollback older");
    expect(took).toHaveLength(1_202);
    expect(took.indexOf("commit e1100")).toBeGreaterThan(took.indexOf("post e1100"));
  });

  test("a partition that is away is asked by one batch in a pass, not by all that is kept for it", async () => {
    await Promise.all(Array.from({ length: 1_200 }, (_, n) => fallback.post(eventWith(`b${n}`))));
    await fallback.post(eventWith("e1"));
    asked = [];
    answerOf = (_, eventId) => (eventId.startsWith("b") ? "away" : "taken");
    await until("the other's is taken", () => took.includes("post e1"));
    expect(asked).not.toContain("post b1199");
  });
});
