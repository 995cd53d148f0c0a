import { describe, expect, test } from "bun:test";
import { createHostCheck, forHosts } from "../../src/http/hosts.ts";
import { createRefusals, type RefusalReason } from "../../src/http/refusals.ts";
import { harness, problemOf } from "./support.ts";

const LOCAL = [
  "localhost",
  "LOCALHOST:3000",
  "localhost.",
  "shop.localhost:3000",
  "127.0.0.1:3000",
  "127.9.9.9",
  "[::1]:3",
];
const STRANGE = ["evil.example", "evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost"];

describe("a Host", () => {
  test.each([
    ["127.0.0.1", [], [...LOCAL], [...STRANGE, "10.0.0.7", "[fd00::1]", "", "postpaid:3000"]],
    ["0.0.0.0", [], [...LOCAL, "10.0.0.7:3000", "[fd00::1]:3000"], [...STRANGE, "postpaid:3000"]],
    ["::", ["postpaid", "pay.example.com"], [...LOCAL, "10.0.0.7", "Postpaid:3000", "pay.example.com."], STRANGE],
    ["::1", [], ["[::1]:3000", "localhost"], [...STRANGE, "[::2]"]],
    ["mail.internal", ["fd00::1"], [...LOCAL, "mail.internal:3000", "[fd00::1]:3000"], [...STRANGE, "internal"]],
  ] as [string, string[], string[], string[]][])(
    "under HOST %s, PUBLIC_HOSTS %p",
    (host, publicHosts, ours, strange) => {
      const isOurs = createHostCheck(host, publicHosts);
      expect(ours.filter((header) => !isOurs(header))).toEqual([]);
      // Twice: what was refused is not known the next time either.
      expect(strange.flatMap((header) => [header, header]).filter(isOurs)).toEqual([]);
      // What was taken before does not open the door for what comes next.
      expect(ours.every(isOurs) && !isOurs("evil.example")).toBe(true);
      expect(isOurs(null)).toBe(true);
    },
  );

  test.each(["/", "/metrics", "/readyz", "/docs", "/openapi.json", "/v1/messages", "/v1/events", "/nothing"])(
    "that is not ours reads nothing at %s",
    async (path) => {
      const counted: RefusalReason[] = [];
      const { app, deps } = harness();
      const refusals = createRefusals(deps.log, (reason) => counted.push(reason));
      const fetch = forHosts(createHostCheck("127.0.0.1", []), refusals, app.fetch as Parameters<typeof forHosts>[2]);
      const get = (host: string) => fetch(new Request(`http://x${path}`, { headers: { host } }), undefined);
      const response = await get("evil.example");
      expect(response.status).toBe(421);
      expect((await problemOf(response)).detail).toContain("evil.example");
      expect(counted).toEqual(["host"]);
      expect((await get("localhost:3000")).status).not.toBe(421);
    },
  );
});
