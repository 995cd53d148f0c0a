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

test("the README's table is the one that `postpaid config --markdown` prints", async () => {
  const { stdout } = Bun.spawnSync([process.execPath, MAIN, "config", "--markdown"]);
  const readme = await Bun.file(join(import.meta.dir, "../README.md")).text();
  expect(stdout.length).toBeGreaterThan(1_000);
  expect(readme).toContain(stdout.toString());
});
