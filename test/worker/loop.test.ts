import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { sleep, time } from "../../src/domain/time.ts";
import { type Loop, startLoop } from "../../src/worker/loop.ts";
import { keepLines, type Lines } from "../support/log.ts";
import { settled, virtualTime } from "../support/virtualTime.ts";

const clock = virtualTime();

let kept: Lines;
let loop: Loop | undefined;

beforeEach(() => {
  kept = keepLines();
});
afterEach(async () => {
  await loop?.stop();
  loop = undefined;
});

function said(msg: string): Record<string, unknown>[] {
  return kept.lines.filter((line) => line["msg"] === msg);
}

describe("a loop", () => {
  test("does a round at once, and the next when it has slept as long as the round said", async () => {
    let rounds = 0;
    loop = startLoop("test", kept.log, async () => {
      rounds += 1;
      return 100;
    });
    await settled();
    expect(rounds).toBe(1);
    await clock.advance(99);
    expect(rounds).toBe(1);
    await clock.advance(1);
    expect(rounds).toBe(2);
  });

  test("goes on without a sleep while a round returns 0", async () => {
    let rounds = 0;
    loop = startLoop("test", kept.log, async () => (++rounds < 5 ? 0 : 1_000));
    await settled();
    await settled();
    expect(rounds).toBe(5);
  });

  test("never runs two rounds at a time, however often it is woken", async () => {
    let running = 0;
    let most = 0;
    let rounds = 0;
    loop = startLoop("test", kept.log, async () => {
      rounds += 1;
      most = Math.max(most, ++running);
      await sleep(10);
      running -= 1;
      return 1_000;
    });
    for (let i = 0; i < 5; i++) {
      loop.wake();
      await clock.advance(4);
    }
    await clock.advance(100);
    expect(most).toBe(1);
    expect(rounds).toBeGreaterThan(1);
  });

  test("is woken out of its sleep", async () => {
    let rounds = 0;
    loop = startLoop("test", kept.log, async () => {
      rounds += 1;
      return 60_000;
    });
    await settled();
    loop.wake();
    await settled();
    expect(rounds).toBe(2);
    await clock.advance(59_000);
    expect(rounds).toBe(2);
  });

  test("that is woken during a round does another one at once: what it was woken for may have come too late", async () => {
    let rounds = 0;
    let endRound = () => {};
    loop = startLoop("test", kept.log, async () => {
      rounds += 1;
      if (rounds === 1) await new Promise<void>((resolve) => (endRound = resolve));
      return 60_000;
    });
    await settled();
    loop.wake();
    loop.wake();
    endRound();
    await settled();
    expect(rounds).toBe(2);
  });
});

describe("a loop that fails", () => {
  test("says so once, goes on, and says when it has recovered and after how many failures", async () => {
    let rounds = 0;
    loop = startLoop("taker", kept.log, async () => {
      rounds += 1;
      if (rounds <= 3) throw new Error("redis is away");
      return 60_000;
    });
    await settled();
    for (const delay of [25, 50, 100]) await clock.advance(delay);
    expect(rounds).toBe(4);
    expect(said("loop failed, it goes on")).toEqual([
      expect.objectContaining({ loop: "taker", err: expect.objectContaining({ message: "redis is away" }) }),
    ]);
    expect(said("loop recovered")).toEqual([expect.objectContaining({ loop: "taker", failures: 3 })]);
  });

  test("says so again when it fails after a recovery", async () => {
    let rounds = 0;
    loop = startLoop("taker", kept.log, async () => {
      rounds += 1;
      if (rounds % 2 === 1) throw new Error("again");
      return 0;
    });
    await settled();
    await clock.advance(25);
    await clock.advance(25);
    expect(said("loop failed, it goes on").length).toBeGreaterThanOrEqual(2);
  });

  test("backs off to two seconds, and no further", async () => {
    const at: number[] = [];
    const startedAt = time.monotonicMs();
    loop = startLoop("taker", kept.log, async () => {
      at.push(time.monotonicMs() - startedAt);
      throw new Error("away for long");
    });
    await settled();
    await clock.advance(12_000);
    const delays = at.slice(1).map((ms, i) => ms - (at[i] as number));
    expect(delays.slice(0, 9)).toEqual([25, 50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
  });

  test("does not spin when it is woken meanwhile", async () => {
    let rounds = 0;
    loop = startLoop("taker", kept.log, async () => {
      rounds += 1;
      throw new Error("away");
    });
    await settled();
    for (let i = 0; i < 100; i++) {
      loop.wake();
      await settled();
    }
    expect(rounds).toBe(1);
    await clock.advance(25);
    expect(rounds).toBe(2);
  });

  test("does not spin either when it was woken during the round that failed", async () => {
    let rounds = 0;
    let failRound = () => {};
    loop = startLoop("taker", kept.log, async () => {
      rounds += 1;
      await new Promise((_, reject) => {
        failRound = () => reject(new Error("away"));
      });
      return 0;
    });
    await settled();
    loop.wake();
    failRound();
    await settled();
    expect(rounds).toBe(1);
    await clock.advance(25);
    expect(rounds).toBe(2);
    const stopped = loop.stop();
    failRound();
    await stopped;
  });

  test("may be woken again as soon as it has recovered", async () => {
    let rounds = 0;
    loop = startLoop("taker", kept.log, async () => {
      rounds += 1;
      if (rounds === 1) throw new Error("away");
      return 60_000;
    });
    await settled();
    await clock.advance(25);
    expect(rounds).toBe(2);
    loop.wake();
    await settled();
    expect(rounds).toBe(3);
  });
});

describe("a loop that is stopped", () => {
  test("ends at once when it sleeps", async () => {
    let rounds = 0;
    loop = startLoop("test", kept.log, async () => {
      rounds += 1;
      return 60_000;
    });
    await settled();
    await loop.stop();
    expect(rounds).toBe(1);
  });

  test("ends at once when it backs off", async () => {
    loop = startLoop("test", kept.log, async () => {
      throw new Error("away");
    });
    await settled();
    await loop.stop();
    await clock.advance(10_000);
    expect(said("loop failed, it goes on").length).toBe(1);
  });

  test("ends when the round under way has ended, and begins no other", async () => {
    let rounds = 0;
    let ended = false;
    let endRound = () => {};
    loop = startLoop("test", kept.log, async () => {
      rounds += 1;
      await new Promise<void>((resolve) => (endRound = resolve));
      return 0;
    });
    await settled();
    const stopped = loop.stop().then(() => (ended = true));
    loop.wake();
    await settled();
    expect(ended).toBeFalse();
    endRound();
    await stopped;
    expect(rounds).toBe(1);
  });

  test("keeps to itself that its last round failed: its connection was closed under it", async () => {
    let failRound = () => {};
    loop = startLoop("test", kept.log, async () => {
      await new Promise((_, reject) => (failRound = () => reject(new Error("Connection is closed."))));
      return 0;
    });
    await settled();
    const stopped = loop.stop();
    failRound();
    await stopped;
    expect(kept.lines).toEqual([]);
  });

  test("may be stopped twice, and woken after", async () => {
    let rounds = 0;
    loop = startLoop("test", kept.log, async () => {
      rounds += 1;
      return 60_000;
    });
    await loop.stop();
    await loop.stop();
    loop.wake();
    await clock.advance(60_000);
    expect(rounds).toBe(1);
  });
});
