/* Secrets that the service makes for itself, kept in DATA_DIR with mode 0600. */
import { randomBytes } from "node:crypto";
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The first line of `<directory>/<name>`; made with 32 random bytes when there is no such file. */
export function keptSecret(directory: string, name: string, prefix: string): string {
  const file = join(directory, name);
  if (!existsSync(file)) make(file, `${prefix}${randomBytes(32).toString("base64url")}\n`);
  const secret = readFileSync(file, "utf8").split("\n")[0]?.trim() ?? "";
  if (secret === "") throw new Error(`${file} is empty: delete it, and a new one is made`);
  return secret;
}

/** The file appears whole or not at all, and once: processes that start together agree on one secret. */
function make(file: string, content: string): void {
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, content, { mode: 0o600, flag: "wx" });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
  } finally {
    unlinkSync(draft);
  }
}
