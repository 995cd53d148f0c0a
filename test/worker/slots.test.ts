import { describe, expect, test } from "bun:test";
import { Slots } from "../../src/worker/slots.ts";

describe("slots", () => {
  test("are taken from the moment a message is asked for until its attempt ends", () => {
    const slots = new Slots(4);
    slots.ask(3);
    expect([slots.free(), slots.asked]).toEqual([1, 3]);
    const running = [slots.begin(), slots.begin()];
    slots.answer(3); // two came
    expect([slots.free(), slots.asked]).toEqual([2, 0]);
    running[0]?.end();
    expect(slots.free()).toBe(3);
    running[0]?.settle();
    expect(slots.free()).toBe(3);
  });

  test("are never more than twice as many while outcomes cannot be written", () => {
    const slots = new Slots(4);
    const all = Array.from({ length: 6 }, () => {
      const one = slots.begin();
      one.end();
      return one;
    });
    expect(slots.free()).toBe(2);
    all.push(slots.begin(), slots.begin());
    expect(slots.free()).toBe(0);
    all[0]?.settle();
    expect(slots.free()).toBe(1);
  });

  test("count a message once, in whichever order its attempt and its settlement end", () => {
    const slots = new Slots(2);
    for (const order of [
      ["end", "settle"],
      ["settle", "end"],
      ["end", "end", "settle", "settle"],
      ["settle"],
    ] as const) {
      const one = slots.begin();
      for (const step of order) one[step]();
      expect([order, slots.free()]).toEqual([order, 2]);
    }
  });

  test("say so when more is answered than was asked for", () => {
    expect(() => new Slots(1).answer(1)).toThrow("asked slots are -1");
  });
});
