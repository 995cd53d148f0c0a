/* The service's own credentials: from the environment, or kept in DATA_DIR. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { type Config, ConfigError } from "./config.ts";
import { checkStrength } from "./domain/signingKey.ts";
import { keptSecret } from "./journal/secret.ts";

export interface Credentials {
  ingestKeys: readonly string[];
  adminToken: string;
}

/** @throws ConfigError when a kept key can be guessed */
export function openCredentials(config: Config, log: Logger): Credentials {
  return {
    ingestKeys: config.INGEST_KEYS ?? [kept(config.DATA_DIR, "ingest.key", "ppi_", log)],
    adminToken: config.ADMIN_TOKEN ?? kept(config.DATA_DIR, "admin.token", "ppa_", log),
  };
}

function kept(directory: string, name: string, prefix: string, log: Logger): string {
  const key = keptSecret(directory, name, prefix);
  const file = join(directory, name);
  try {
    checkStrength(file, key);
  } catch (error) {
    throw new ConfigError((error as Error).message);
  }
  // `bun add <folder>` hard-links all that is in a folder, whatever package.json says.
  if (statSync(file).nlink > 1) {
    log.error({ file }, "this key has a second name on this disk: was DATA_DIR copied into another project?");
  }
  return key;
}
