/* Secrets that the service makes for itself, kept in DATA_DIR with mode 0600. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The first line of `<directory>/<name>`; made with 32 random bytes when there is none. */
export function keptSecret(directory: string, name: string, prefix: string): string {
  const file = join(directory, name);
  try {
    // "wx": two processes that start together agree on one secret.
    writeFileSync(file, `${prefix}${randomBytes(32).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as { code?: string }).code !== "EEXIST") throw error;
  }
  const secret = readFileSync(file, "utf8").split("\n")[0]?.trim() ?? "";
  if (secret === "") throw new Error(`${file} is empty: delete it, and a new one is made`);
  return secret;
}
