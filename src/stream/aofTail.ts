/* What stands in an append-only file behind the place up to which it is good. */

/**
 * `zeros`: nothing but them. `torn`: one command or transaction was begun, and behind it may be zeros: a write that was
 * under way when the power went. `other`: anything else, which may have been acknowledged.
 */
export type Tail = "zeros" | "torn" | "other";

export function tailOf(bytes: Buffer): Tail {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  if (end === 0) return "zeros";
  const text = bytes.toString("latin1", 0, end);
  const first = readCommand(text, 0);
  if (first.kind !== "whole") return first.kind === "cut" ? "torn" : "other";
  if (first.name !== "MULTI") return "other";
  for (let at = first.end; at < text.length; ) {
    const next = readCommand(text, at);
    if (next.kind !== "whole") return next.kind === "cut" ? "torn" : "other";
    if (next.name === "EXEC") return "other";
    at = next.end;
  }
  return "torn";
}

/** About how many commands it has, each with its name. */
export function commandsIn(bytes: Buffer): number {
  return [...bytes.toString("latin1").matchAll(/\*\d+\r\n\$\d+\r\n/g)].length;
}

/** `cut`: the text ends in the middle of it. */
type Command = { kind: "whole"; end: number; name: string } | { kind: "cut" } | { kind: "wrong" };

const [CUT, WRONG] = [{ kind: "cut" }, { kind: "wrong" }] as const;

function readCommand(text: string, from: number): Command {
  const count = readNumber(text, from, "*");
  if (count.kind !== "whole") return count;
  let at = count.end;
  let name = "";
  for (let i = 0; i < count.value; i++) {
    const length = readNumber(text, at, "$");
    if (length.kind !== "whole") return length;
    const end = length.end + length.value;
    const value = text.slice(length.end, end);
    const lineEnd = text.slice(end, end + 2);
    // No value of ours has such lines: its length is damaged, and whole commands or values are taken for a part of it.
    if (lineEnd.length < 2 && /\r\n[*$]\d+\r\n/.test(value)) return WRONG;
    if (!"\r\n".startsWith(lineEnd)) return WRONG;
    if (lineEnd.length < 2) return CUT;
    if (i === 0) name = value.toUpperCase();
    at = end + 2;
  }
  return { kind: "whole", end: at, name };
}

/** A line as `*3` or `$12`. */
function readNumber(text: string, from: number, prefix: "*" | "$") {
  const line = text.slice(from, from + 24);
  const whole = /^[*$](\d+)\r\n/.exec(line);
  if (whole !== null && line[0] === prefix) {
    return { kind: "whole", end: from + whole[0].length, value: Number(whole[1]) } as const;
  }
  return /^(?:[*$]\d*\r?)?$/.test(line) && (line === "" || line[0] === prefix) ? CUT : WRONG;
}
