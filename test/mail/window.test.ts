import { expect, test } from "bun:test";
import { limitOf, opened, openWindow, refused, type Window, widened } from "../../src/mail/window.ts";

const MAX = 20;
type Step = [what: string, step: (window: Window) => Window, limit: number];

test.each([
  [["at the start all may be opened", (window) => window, 20]],
  [
    ["five are open when the sixth is refused", () => refused(5), 5],
    ["five work meanwhile", (window) => opened(window, 5), 5],
    ["after the while one more is tried", widened, 6],
    ["it works, and the next one is tried", (window) => opened(window, 6), 7],
    ["the seventh is refused", () => refused(6), 6],
  ],
  [["none other was open: one is always tried", () => refused(0), 1]],
  [
    ["a refusal at the limit", () => refused(19), 19],
    ["never more than the setting allows", widened, 20],
    ["also when all work", (window) => opened(window, 20), 20],
  ],
] as Step[][])("%#: the limit follows what the relay takes", (...steps) => {
  let window = openWindow(MAX);
  for (const [what, step, limit] of steps) {
    window = step(window);
    expect([what, limitOf(window, MAX)]).toEqual([what, limit]);
  }
});
