import { expect, test } from "bun:test";
import { Turns } from "../../src/mail/turns.ts";

function waiters(turns: Turns) {
  const granted: string[] = [];
  const wait = (name: string, first = false) =>
    turns.wait(first).then((mine) => granted.push(mine ? name : `${name} refused`));
  return { granted, wait };
}

test("turns go to those who wait longest, never to more than the limit, and to the first of the line first", async () => {
  const turns = new Turns(() => 2);
  const { granted, wait } = waiters(turns);
  const all = ["a", "b", "c", "d"].map((name) => wait(name));
  all.push(wait("urgent", true));
  await Promise.all(all.slice(0, 2));
  expect([granted, turns.busy]).toEqual([["a", "b"], 2]);
  for (const expected of ["urgent", "c", "d"]) {
    turns.end();
    await Bun.sleep(0);
    expect(granted.at(-1)).toBe(expected);
    expect(turns.busy).toBe(2);
  }
});

test("a limit that rises grants at once when it is told, one that falls takes no turn away", async () => {
  let limit = 1;
  const turns = new Turns(() => limit);
  const { granted, wait } = waiters(turns);
  const all = ["a", "b", "c"].map((name) => wait(name));
  limit = 3;
  turns.grant();
  await Promise.all(all);
  limit = 1;
  const last = wait("d");
  turns.end();
  turns.end();
  await Bun.sleep(0);
  expect([granted, turns.busy]).toEqual([["a", "b", "c"], 1]);
  turns.end();
  await last;
  expect(granted.at(-1)).toBe("d");
});

test("who jumps the line holds a turn of its own; those who wait can be refused", async () => {
  const turns = new Turns(() => 1);
  const { granted, wait } = waiters(turns);
  turns.jump();
  const waiting = [wait("a"), wait("b")];
  await Bun.sleep(0);
  expect(granted).toEqual([]);
  turns.refuse();
  await Promise.all(waiting);
  expect([granted, turns.busy]).toEqual([["a refused", "b refused"], 1]);
});
