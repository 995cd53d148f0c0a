import { describe, expect, test } from "bun:test";
import { every, nextTurn, sleep, time, timeoutSignal, within } from "../../src/domain/time.ts";
import { createVirtualTime, settled, virtualTime } from "./virtualTime.ts";

const clock = virtualTime();

describe("a virtual clock", () => {
  test("stands still, and goes as far as it is moved", async () => {
    const before = [time.epochMs(), time.monotonicMs()] as const;
    await Bun.sleep(5);
    expect([time.epochMs(), time.monotonicMs()]).toEqual([...before]);
    await clock.advance(16 * 3_600_000);
    expect([time.epochMs() - before[0], time.monotonicMs() - before[1]]).toEqual([57_600_000, 57_600_000]);
  });

  test("fires timers in the order of their time, and of their making, each at its own time", async () => {
    const startMs = time.monotonicMs();
    const fired: string[] = [];
    const arm = (name: string, delayMs: number) =>
      time.after(delayMs, () => fired.push(`${name} at ${time.monotonicMs() - startMs}`));
    arm("late", 300);
    arm("first", 100);
    arm("second", 100);
    arm("at once", 0);
    arm("past", -50);
    expect(clock.waits()).toEqual([0, 0, 100, 100, 300]);
    await clock.advance(299);
    expect(fired).toEqual(["at once at 0", "past at 0", "first at 100", "second at 100"]);
    await clock.advance(1);
    expect(fired.at(-1)).toBe("late at 300");
  });

  test("fires what a timer arms on the way, also behind promises", async () => {
    const slept: number[] = [];
    const startMs = time.monotonicMs();
    const loop = (async () => {
      for (let i = 0; i < 4; i++) {
        await sleep(100);
        await nextTurn();
        slept.push(time.monotonicMs() - startMs);
      }
    })();
    await clock.advance(1_000);
    await loop;
    expect(slept).toEqual([100, 200, 300, 400]);
  });

  test("fires no timer that was cancelled, be it by one of the same time", async () => {
    const fired: string[] = [];
    const second = () => timer.cancel();
    time.after(10, second);
    const timer = time.after(10, () => fired.push("cancelled"));
    await clock.advance(20);
    expect(fired).toEqual([]);
    timer.cancel();
  });

  test("gives the chance that it was told", () => {
    expect(time.random()).toBe(0);
    clock.setChance(0.75);
    expect(time.random()).toBe(0.75);
  });

  test("moves while the thread is blocked, and fires nothing then", async () => {
    const fired: number[] = [];
    const startMs = time.monotonicMs();
    time.after(10, () => fired.push(time.monotonicMs() - startMs));
    time.blockThread(50);
    expect([time.monotonicMs() - startMs, fired.length]).toEqual([50, 0]);
    await clock.advance(0);
    expect(fired).toEqual([50]);
  });

  test("is one of its own", async () => {
    const other = createVirtualTime();
    await other.advance(1_000);
    expect(other.monotonicMs() - time.monotonicMs()).toBe(1_000);
  });
});

describe("what waits on the port", () => {
  test("every: once a period, until it is cancelled", async () => {
    let calls = 0;
    const timer = every(1_000, () => {
      calls += 1;
    });
    await clock.advance(999);
    expect(calls).toBe(0);
    await clock.advance(3_001);
    expect(calls).toBe(4);
    timer.cancel();
    await clock.advance(10_000);
    expect(calls).toBe(4);
  });

  test("every: may be cancelled by its own call", async () => {
    let calls = 0;
    const timer = every(1_000, () => {
      calls += 1;
      timer.cancel();
    });
    await clock.advance(5_000);
    expect(calls).toBe(1);
  });

  test("within: what the promise gives, or undefined after the time, and no timer stays behind", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const inTime = within(100, promise);
    const late = within(100, new Promise<string>(() => {}));
    resolve("worth the wait");
    expect(await inTime).toBe("worth the wait");
    await settled();
    expect(clock.waits()).toEqual([100]);
    await clock.advance(100);
    expect(await late).toBeUndefined();
  });

  test("within: rejects as the promise does; a rejection that comes too late is nobody's", async () => {
    await expect(within(100, Promise.reject(new Error("no")))).rejects.toThrow("no");
    const { promise, reject } = Promise.withResolvers<string>();
    const late = within(100, promise);
    await clock.advance(100);
    reject(new Error("too late"));
    expect(await late).toBeUndefined();
  });

  test("timeoutSignal: aborts with a TimeoutError", async () => {
    const signal = timeoutSignal(2_000);
    expect(clock.waits()).toEqual([]); // no process waits for it
    await clock.advance(1_999);
    expect(signal.aborted).toBeFalse();
    await clock.advance(1);
    expect(signal.reason).toMatchObject({ name: "TimeoutError" });
  });
});
