/* Every form of REDIS_URL, and what is refused at the start. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseRedisUrl } from "../../src/stream/redisUrl.ts";
import { makeCertificate } from "../support/certificate.ts";

let directory: string;
let ca: string;
let pem: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "pp-"));
  pem = (await makeCertificate()).cert.trim();
  ca = join(directory, "ca.pem");
  writeFileSync(ca, `Some words\n${pem}\n`);
  writeFileSync(join(directory, "two & more.pem"), `${pem}\n${pem}\n`);
  writeFileSync(join(directory, "none.pem"), "nothing of the kind\n");
  writeFileSync(join(directory, "torn.pem"), pem.slice(0, 200));
  writeFileSync(join(directory, "damaged.pem"), pem.replace(/\n[^\n]{20}/, "\n!!!!!!!!!!!!!!!!!!!!"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const AT = { host: "h", port: 6_379 };
const TWO = [
  { host: "h1", port: 6_379 },
  { host: "h2", port: 7_001 },
];
const SENTINELS = [
  { host: "h1", port: 26_379 },
  { host: "h2", port: 26_380 },
];

describe("REDIS_URL", () => {
  test.each([
    ["redis://h", { kind: "single", ...AT }],
    ["redis://h:1/15", { kind: "single", host: "h", port: 1, db: 15 }],
    ["redis://[::1]:6380/0", { kind: "single", host: "::1", port: 6_380, db: 0 }],
    ["redis://[fd00::7]", { kind: "single", host: "fd00::7", port: 6_379 }],
    ["redis://10.0.0.7", { kind: "single", host: "10.0.0.7", port: 6_379 }],
    ["redis://:secret@h", { kind: "single", ...AT, password: "secret" }],
    [
      "redis://app:p%40%3A%2F%3F%23%25%2B+w@h/1",
      { kind: "single", ...AT, db: 1, username: "app", password: "p@:/?#%++w" },
    ],
    ["redis://app:a:b@h", { kind: "single", ...AT, username: "app", password: "a:b" }],
    ["redis://app:a@b@h", { kind: "single", ...AT, username: "app", password: "a@b" }],
    ["redis://app@h", { kind: "single", ...AT, username: "app", password: "" }],
    [
      "rediss://app:secret@h:6380",
      { kind: "single", host: "h", port: 6_380, username: "app", password: "secret", tls: {} },
    ],
    ["unix:/run/redis.sock", { kind: "unix", path: "/run/redis.sock" }],
    ["unix:///run/redis.sock", { kind: "unix", path: "/run/redis.sock" }],
    ["unix://app:p%40w@/run/redis.sock", { kind: "unix", path: "/run/redis.sock", username: "app", password: "p@w" }],
    ["redis+sentinel://h1,h2:26380/main", { kind: "sentinel", name: "main", hosts: SENTINELS }],
    ["redis+sentinel://h1,h2:26380/main/3", { kind: "sentinel", name: "main", hosts: SENTINELS, db: 3 }],
    [
      "redis+sentinel://[::1],[fd00::7]:26380/my%20main",
      {
        kind: "sentinel",
        name: "my main",
        hosts: [
          { host: "::1", port: 26_379 },
          { host: "fd00::7", port: 26_380 },
        ],
      },
    ],
    [
      "redis+sentinel://app:secret@h1,h2:26380/main?sentinelUser=watch&sentinelPassword=a+b%26%40",
      {
        kind: "sentinel",
        name: "main",
        hosts: SENTINELS,
        username: "app",
        password: "secret",
        sentinel: { username: "watch", password: "a+b&@" },
      },
    ],
    [
      "rediss+sentinel://h1,h2:26380/main?sentinelPassword=own",
      { kind: "sentinel", name: "main", hosts: SENTINELS, sentinel: { password: "own" }, tls: {} },
    ],
    ["redis+cluster://h1,h2:7001", { kind: "cluster", hosts: TWO }],
    ["rediss+cluster://:secret@h1,h2:7001/", { kind: "cluster", hosts: TWO, password: "secret", tls: {} }],
  ])("%s", (url, address) => {
    expect(parseRedisUrl(url)).toEqual(address as ReturnType<typeof parseRedisUrl>);
  });

  test("names a file of authorities, which is read", () => {
    expect(parseRedisUrl(`rediss://h?ca=${ca}`)).toEqual({ kind: "single", ...AT, tls: { ca: pem } });
    const two = encodeURIComponent(join(directory, "two & more.pem"));
    expect(parseRedisUrl(`rediss+cluster://h?ca=${two}`)).toMatchObject({ tls: { ca: `${pem}\n${pem}` } });
    const both = parseRedisUrl(`rediss+sentinel://h/main?sentinelPassword=own&ca=${ca}`);
    expect(both).toMatchObject({ sentinel: { password: "own" }, tls: { ca: pem } });
  });

  test.each([
    ["absent.pem", "ENOENT"],
    [".", "EISDIR"],
    ["none.pem", "no certificate in PEM"],
    ["torn.pem", "no certificate in PEM"],
    ["damaged.pem", "damaged"],
  ])("is refused where its ca is %s", (file, why) => {
    const path = join(directory, file);
    expect(() => parseRedisUrl(`rediss://:hunter2@h?ca=${path}`)).toThrow(path);
    expect(() => parseRedisUrl(`rediss://:hunter2@h?ca=${path}`)).toThrow(why);
    expect(() => parseRedisUrl(`rediss://:hunter2@h?ca=${path}`)).not.toThrow("hunter2");
  });

  test.each([
    ["an option of the client", "redis://h?maxRetriesPerRequest=5"],
    ["ca without TLS", "redis://h?ca=/x.pem"],
    ["sentinels' credentials without sentinels", "rediss+cluster://h?sentinelPassword=x"],
    ["a sentinel's user without a password", "redis+sentinel://h/main?sentinelUser=x"],
    ["an option without a value", "redis+sentinel://h/main?sentinelPassword="],
    ["an option twice", "redis+sentinel://h/main?sentinelPassword=a&sentinelPassword=b"],
    ["no host", "redis://"],
    ["no host behind a comma", "redis+cluster://h1,"],
    ["several hosts without a word why", "redis://h1,h2"],
    ["an IPv6 address without brackets", "redis://::1:6379"],
    ["an address that is none", "redis://[::g]"],
    ["port 0", "redis+sentinel://h1:0/main"],
    ["a port that is none", "redis+cluster://h1:70000"],
    ["a database that is none", "redis://h/1000"],
    ["a sentinel's database that is none", "redis+sentinel://h1/main/x"],
    ["a cluster's database", "redis+cluster://h1:7000/0"],
    ["no name of a master", "redis+sentinel://h1:26379"],
    ["a damaged escape", "redis://user:p%ZZ@h"],
    ["a damaged escape of an option", "redis+sentinel://h/main?sentinelPassword=%"],
    ["a blank", "redis://h 1"],
    ["a fragment", "redis://h#1"],
    ["an unknown kind", "redis+ring://h"],
    ["a relative socket", "unix:redis.sock"],
  ])("is refused with %s", (_what, url) => {
    expect(() => {
      if (parseRedisUrl(url) === undefined) throw new Error("REDIS_URL is none of its forms");
    }).toThrow(/^REDIS_URL /);
  });
});
