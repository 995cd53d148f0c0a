import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keptSecret } from "../../src/journal/secret.ts";
import { failOnLeaks } from "../support/leaks.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
});
afterEach(() => rmSync(directory, { recursive: true }));
failOnLeaks();

describe("a secret that the service made for itself", () => {
  test("is the same at every start", () => {
    const secret = keptSecret(directory, "ingest.key", "ppi_");
    expect(keptSecret(directory, "ingest.key", "ppi_")).toBe(secret);
    expect(readFileSync(join(directory, "ingest.key"), "utf8")).toBe(`${secret}\n`);
  });

  test("has its prefix and 32 random bytes, fit for a header and an environment variable", () => {
    const secrets = Array.from({ length: 20 }, (_, i) => keptSecret(directory, `key${i}`, "ppi_"));
    for (const secret of secrets) expect(secret).toMatch(/^ppi_[A-Za-z0-9_-]{43}$/);
    expect(new Set(secrets).size).toBe(20);
  });

  test("is readable by its owner alone, whatever the umask", () => {
    const umask = process.umask(0);
    try {
      keptSecret(directory, "admin.token", "ppa_");
    } finally {
      process.umask(umask);
    }
    expect(statSync(join(directory, "admin.token")).mode & 0o777).toBe(0o600);
  });

  test("is what a person wrote into the file", () => {
    const file = join(directory, "ingest.key");
    writeFileSync(file, "  my own key  \r\nand a remark\n");
    expect(keptSecret(directory, "ingest.key", "ppi_")).toBe("my own key");
  });

  test.each([
    ["empty", ""],
    ["a blank line", "\n"],
    ["spaces", "   \n"],
  ])("is refused when the file is %s, with what to do about it", (_what, content) => {
    writeFileSync(join(directory, "ingest.key"), content);
    expect(() => keptSecret(directory, "ingest.key", "ppi_")).toThrow(/ingest\.key is empty: delete it/);
  });

  test("is refused when the folder is not there", () => {
    expect(() => keptSecret(join(directory, "no"), "ingest.key", "ppi_")).toThrow("ENOENT");
  });

  test.skipIf(process.getuid?.() === 0)("is refused when the file cannot be read", () => {
    keptSecret(directory, "ingest.key", "ppi_");
    chmodSync(join(directory, "ingest.key"), 0);
    expect(() => keptSecret(directory, "ingest.key", "ppi_")).toThrow("EACCES");
  });

  test("leaves no other file behind", () => {
    keptSecret(directory, "ingest.key", "ppi_");
    expect(readdirSync(directory)).toEqual(["ingest.key"]);
  });

  test("is one, however many processes start at the same time", async () => {
    const module = JSON.stringify(join(import.meta.dir, "../../src/journal/secret.ts"));
    // They meet at a given instant, and again for each of many secrets, since the moment to be hit is short.
    const racer = `
      import { keptSecret } from ${module};
      const [directory, startAt] = process.argv.slice(1);
      while (Date.now() < Number(startAt));
      const secrets = [];
      for (let i = 0; i < 300; i++) secrets.push(keptSecret(directory, "key" + i, ""));
      console.log(JSON.stringify(secrets));
    `;
    const startAt = String(Date.now() + 400);
    const racers = Array.from({ length: 4 }, () =>
      Bun.spawn([process.execPath, "-e", racer, directory, startAt], { stdout: "pipe", stderr: "pipe" }),
    );
    const results = await Promise.all(
      racers.map((one) => Promise.all([new Response(one.stdout).text(), new Response(one.stderr).text()])),
    );
    expect(results.map(([, errors]) => errors)).toEqual(Array(4).fill(""));
    expect(new Set(results.map(([secrets]) => secrets)).size).toBe(1);
  });
});
