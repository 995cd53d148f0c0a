/* What may be cut off an append-only file by itself, and what not. */
import { expect, test } from "bun:test";
import { commandsIn, type Tail, tailOf } from "../../src/stream/aofTail.ts";

const command = (...words: string[]) =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;

const set = command("SET", "key", "a value\nof two lines");
const multi = command("MULTI");
const zeros = "\0".repeat(4096);
const tail = (text: string) => tailOf(Buffer.from(text, "latin1"));

test.each<[string, string, Tail]>([
  ["nothing but zeros", zeros, "zeros"],
  ["nothing", "", "zeros"],
  ["a whole command", set, "other"],
  ["a whole command, and zeros", set + zeros, "other"],
  ["a whole command, and a torn one", set + set.slice(0, 9), "other"],
  ["a transaction without its end", multi + set, "torn"],
  ["a transaction without its end, and zeros", multi + set + set + zeros, "torn"],
  ["a whole transaction", multi + set + command("EXEC"), "other"],
  ["a whole transaction in small letters", command("multi") + set + command("exec"), "other"],
  ["a transaction with another text in it", `${multi + set}something else`, "other"],
  ["a transaction, and a whole command with a damaged byte", multi + set.replace("$3", "X3"), "other"],
  ["text that is no command", "something else", "other"],
  ["zeros, and a whole command", zeros + set, "other"],
  ["zeros, and half a command", zeros + set.slice(0, 9), "other"],
  ["a torn command with other bytes than zeros behind it", `${set.slice(0, 20)}\0\0\u0001`, "other"],
  ["a damaged number of words", set.replace("*3", "*x"), "other"],
  ["a damaged word length that reaches into the next word", set.replace("$3\r\nSET", "$4\r\nSET"), "other"],
  ["a damaged word length that reaches behind the end", set.replace("$3\r\nSET", "$999\r\nSET"), "other"],
  ["a damaged number of words that lacks commands", `*9${set.slice(2)}`, "torn"],
  ["a damaged number of words, and a whole command", `*9${set.slice(2)}${set}`, "other"],
])("%s", (_what, text, kind) => {
  expect(tail(text)).toBe(kind);
});

test("a command that is cut anywhere is torn, with and without zeros behind it", () => {
  for (const whole of [set, command("SET", "key", "x".repeat(300)), command("DEL", "", "é")]) {
    for (let length = 1; length < whole.length; length++) {
      expect([length, tail(whole.slice(0, length)), tail(whole.slice(0, length) + zeros)]).toEqual([
        length,
        "torn",
        "torn",
      ]);
    }
  }
});

test("a transaction that is cut anywhere is torn, too", () => {
  const whole = multi + set + command("INCR", "n") + command("EXEC");
  for (let length = 1; length < whole.length; length++) {
    expect([length, tail(whole.slice(0, length)), tail(whole.slice(0, length) + zeros)]).toEqual([
      length,
      "torn",
      "torn",
    ]);
  }
});

test("says about how many commands there are", () => {
  expect(commandsIn(Buffer.from(zeros + set + multi + set.slice(0, 12)))).toBe(3);
});
