/* The permissions that the manual says are enough. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const USER = "postpaid";
export const PASSWORD = "a-password";

/** The rules behind the user's name, as ACL SETUSER takes them. */
export function rulesOfTheManual(): string[] {
  const manual = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");
  const lines = manual.split("\n").filter((line) => line.startsWith(`ACL SETUSER ${USER} `));
  if (lines.length !== 1) throw new Error(`the manual has ${lines.length} lines of an ACL`);
  return (lines[0] as string).trim().split(" ").slice(3);
}
