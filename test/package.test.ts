import { expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");

test("a package of a checkout that has run holds what a consumer needs, and nothing of DATA_DIR", async () => {
  const checkout = mkdtempSync(join(tmpdir(), "pp-package-"));
  try {
    for (const name of ["package.json", "README.md", "LICENSE", "redis.conf", "src", "test/package.test.ts"]) {
      cpSync(join(ROOT, name), join(checkout, name), { recursive: true });
    }
    mkdirSync(join(checkout, "data"));
    for (const name of ["data/ingest.key", "data/journal.sqlite", ".env"])
      writeFileSync(join(checkout, name), "secret");
    const packed = Bun.spawnSync([process.execPath, "pm", "pack", "--dry-run"], { cwd: checkout });
    const files = packed.stdout.toString().matchAll(/^packed \S+ (.+)$/gm);
    const names = [...files].map(([, name]) => name ?? "");
    const top = new Set(names.map((name) => name.split("/")[0]));
    expect([...top].sort()).toEqual(["LICENSE", "README.md", "package.json", "redis.conf", "src"]);
    for (const name of ["src/main.ts", "src/client/client.ts", "src/stream/enqueue.lua"]) expect(names).toContain(name);
  } finally {
    rmSync(checkout, { recursive: true, force: true });
  }
});
