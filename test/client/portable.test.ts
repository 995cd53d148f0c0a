/* The client runs where there is no Bun: bundled, and run by the machine's Node.js against the real service. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventWith } from "../support/event.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { INGEST_KEY, makeDataDir, startService, type TestService } from "../support/service.ts";

const ROOT = join(import.meta.dir, "../..");
const CLIENT = join(ROOT, "src/client/client.ts");

setDefaultTimeout(60_000);

const folder = makeDataDir();
const bundle = join(folder.path, "client.mjs");
let service: TestService;

beforeAll(async () => {
  const built = await Bun.build({ entrypoints: [CLIENT], target: "node", format: "esm" });
  await Bun.write(bundle, (await built.outputs[0]?.text()) ?? "");
  service = await startService(join(folder.path, "data"));
});
afterAll(async () => {
  await service?.stop();
  folder.remove();
});
failOnLeaks();

describe("the client's bundle", () => {
  test("is small, imports nothing and names nothing that only Bun or Node.js has", async () => {
    const text = await Bun.file(bundle).text();
    expect(text.length).toBeGreaterThan(1_000);
    expect(text.length).toBeLessThan(20_000);
    const foreign =
      /^import\b.*$|\bimport\s*\(|\brequire\s*\(|\b(?:Bun|process|Buffer|global)\s*[.[(]|node:\w+|bun:\w+/gm;
    expect(text.match(foreign)).toBeNull();
  });

  test("posts, holds, commits, rolls back and looks up under Node.js", async () => {
    const node = Bun.which("node");
    if (node === null) throw new Error("there is no `node` on this machine, so that the client was not tried under it");
    const script = join(folder.path, "smoke.mjs");
    await Bun.write(script, SMOKE);
    const child = Bun.spawn([node, script, service.url, INGEST_KEY, JSON.stringify(eventWith("evt_node"))], {
      env: {},
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect({ status: await child.exited, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({
      posted: ["scheduled", false],
      again: ["scheduled", true],
      held: "held",
      committed: "committed",
      rolledBack: "cancelled",
      result: "receipt",
      thrown: "card declined",
      found: "evt_node",
      unknown: null,
      invalid: ["invalid", ["/data/customer/email"]],
      reused: "conflict",
      unauthorized: "unauthorized",
    });
  });

  test("type-checks in a project that knows the web's types alone", async () => {
    const project = join(folder.path, "project");
    mkdirSync(project, { recursive: true });
    const compilerOptions = {
      ...{ target: "ES2022", module: "NodeNext", moduleResolution: "NodeNext", lib: ["ES2022", "DOM"], types: [] },
      ...{ strict: true, noEmit: true, allowImportingTsExtensions: true },
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [CLIENT] }));
    const tsc = Bun.spawn([process.execPath, join(ROOT, "node_modules/typescript/bin/tsc"), "-p", project], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const output = (await tsc.stdout.text()) + (await tsc.stderr.text());
    expect({ status: await tsc.exited, output }).toEqual({ status: 0, output: "" });
  });
});

const SMOKE = `
import { createClient } from "./client.mjs";

const [url, key, json] = process.argv.slice(2);
const event = JSON.parse(json);
const client = createClient({ url, key });
const as = (suffix) => ({ ...event, id: event.id + suffix });
const kindOf = (error) => error.kind ?? error;

const posted = await client.post(event);
const again = await client.post(event);
const first = await client.hold(as("_1"));
const second = await client.hold(as("_2"));
const committed = await first.commit();
const rolledBack = await second.rollback();
const result = await client.withMail(as("_3"), async () => "receipt");
const decline = () => { throw new Error("card declined"); };
const thrown = await client.withMail(as("_4"), decline).catch((error) => error.message);
const found = await client.message(event.id);
const unknown = await client.message("evt_nobody");
const wrong = { ...as("_5"), data: { ...event.data, customer: { email: "nobody" } } };
const invalid = await client.post(wrong).catch((error) => [error.kind, error.problems.map(({ pointer }) => pointer)]);
const reused = await client.post({ ...event, type: "payment.refunded" }).catch(kindOf);
const unauthorized = await createClient({ url, key: "other" }).post(event).catch(kindOf);

console.log(JSON.stringify({
  posted: [posted.state, posted.duplicate],
  again: [again.state, again.duplicate],
  held: first.state,
  committed: committed.result,
  rolledBack: rolledBack.result,
  result,
  thrown,
  found: found.eventId,
  unknown: unknown ?? null,
  invalid,
  reused,
  unauthorized,
}));
`;
