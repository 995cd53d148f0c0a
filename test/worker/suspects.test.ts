import { beforeEach, expect, test } from "bun:test";
import { createSuspects, type Suspects } from "../../src/worker/suspects.ts";

let suspects: Suspects;
beforeEach(() => {
  suspects = createSuspects();
});

const blamed = (times: number, messageId = "msg_1") => Array.from({ length: times }, () => suspects.blames(messageId));

test("a message that the relay fails in the middle of is to blame from the fourth time in a row on", () => {
  expect(blamed(5)).toEqual([false, false, false, true, true]);
  expect(suspects.blames("msg_2")).toBe(false);
});

test("its count begins anew after another outcome", () => {
  blamed(3);
  suspects.clears("msg_1");
  expect(blamed(4)).toEqual([false, false, false, true]);
});

test("it is forgotten when ten thousand others came after it, and not before", () => {
  blamed(3);
  blamed(3, "msg_late");
  for (let i = 0; i < 9_999; i++) suspects.blames(`msg_other_${i}`);
  expect(suspects.blames("msg_late")).toBe(true);
  expect(suspects.blames("msg_1")).toBe(false);
});
