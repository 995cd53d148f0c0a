/* The demo, as somebody runs it whose shell is set up for another postpaid. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cleanUpAfterEach } from "./support/cleanups.ts";

const DEMO = join(import.meta.dir, "../scripts/demo.ts");

const cleanups = cleanUpAfterEach();

/** In a temporary folder of its own, where it leaves nothing behind. */
function startDemo(args: string[], env: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), "pp-"));
  const demo = Bun.spawn([process.execPath, DEMO, ...args], {
    env: { PATH: process.env["PATH"] ?? "", TMPDIR: folder, PORT: "0", CATCHER_PORT: "0", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  cleanups.push(
    () => rmSync(folder, { recursive: true }),
    async () => {
      demo.kill("SIGTERM");
      await demo.exited;
    },
  );
  const leftovers = () => readdirSync(folder).filter((name) => name.startsWith("postpaid-demo-"));
  return { demo, leftovers };
}

test("settings of the shell do not reach the service of the demo", async () => {
  const { demo, leftovers } = startDemo(["--once"], {
    SMTP_URL: "smtp://127.0.0.1:1",
    REDIS_URL: "redis://127.0.0.1:1",
    INGEST_KEYS: "another-key-that-is-long-enough",
    LOG_LEVEL: "fatal",
    ROLE: "api",
    DELAY_MS: "none",
  });
  const said = await new Response(demo.stdout).text();
  expect(await demo.exited, said).toBe(0);
  expect(said).toContain("The mail that the customer got");
  expect(leftovers()).toEqual([]);
});

test("a line of the service that is not JSON is no harm, and a closed terminal stops all", async () => {
  const folder = mkdtempSync(join(tmpdir(), "pp-"));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const preload = join(folder, "speak.ts");
  writeFileSync(preload, 'console.log("not JSON, and no service started: {");');
  const { demo, leftovers } = startDemo([], { BUN_OPTIONS: `--preload=${preload}` });
  let said = "";
  const decoder = new TextDecoder();
  for await (const chunk of demo.stdout) {
    said += decoder.decode(chunk, { stream: true });
    if (said.includes("It keeps running until Ctrl-C.")) demo.kill("SIGHUP");
  }
  expect(await demo.exited, said).toBe(0);
  expect(said.match(/not JSON/g)?.length).toBeGreaterThan(1);
  expect(leftovers()).toEqual([]);
});
