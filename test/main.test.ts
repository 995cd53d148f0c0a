import { expect, test } from "bun:test";
import { join } from "node:path";

const MAIN = join(import.meta.dir, "../src/main.ts");

test.each(["", "--json", "--markdown"])(
  "a reader that has had enough of `postpaid config %s` ends it without a word",
  (format) => {
    // `true` has gone when the first line is written.
    const command = `set -o pipefail; "${process.execPath}" "${MAIN}" config ${format} | true`;
    const { exitCode, stderr } = Bun.spawnSync(["bash", "-c", command]);
    expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
  },
);
