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

test.each([
  ["", "stdout"],
  ["--json", "stderr"],
  ["--markdown", "stderr"],
] as const)(
  "`postpaid config %s` tells of a variable that is nearly a setting, and not its value",
  (format, output) => {
    const env = { PATH: process.env["PATH"], SMTP_URI: "smtp://an:hush-hush@host" };
    const command = [process.execPath, MAIN, "config", format].filter((word) => word !== "");
    const { exitCode, stdout, stderr } = Bun.spawnSync(command, { env });
    const said = { stdout: stdout.toString(), stderr: stderr.toString() };
    expect(exitCode).toBe(0);
    expect(said[output]).toStartWith("SMTP_URI is set, and is no setting: SMTP_URL may be meant\n");
    expect(said.stdout + said.stderr).not.toContain("hush-hush");
    if (format === "--json") expect(JSON.parse(said.stdout)).toBeArray();
  },
);
