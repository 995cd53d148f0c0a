import { describe, expect, test } from "bun:test";
import { Webhook } from "standardwebhooks";
import { createSigner } from "../../src/client/sign.ts";

const body = new TextEncoder().encode('{"id":"evt_1","name":"Nguyễn Văn An"}');

function verifierOf(key: string): Webhook {
  const secret = key.startsWith("whsec_") ? Buffer.from(key.slice(6), "base64") : Buffer.from(key);
  return new Webhook(secret, { format: "raw" });
}

describe("a signature", () => {
  const bytes = Buffer.from([251, 255, 254, 0, 1, 2, 3, 250, 190, 254]);
  const keys: [string, string][] = [
    ["of plain text", "test-ingest-key"],
    ["of text beyond ASCII", "khóa bí mật"],
    ["of base64 behind whsec_", `whsec_${bytes.toString("base64")}`],
    ["of base64 without padding", `whsec_${bytes.toString("base64").replace(/=+$/, "")}`],
    ["of the URL's base64 behind whsec_", `whsec_${bytes.toString("base64url")}`],
  ];
  test.each(keys)("with a key %s is one that standardwebhooks accepts", async (_, key) => {
    const headers = await createSigner(key, Date.now).headersFor("evt_1", body);
    expect(verifierOf(key).verify(Buffer.from(body), headers)).toEqual({ id: "evt_1", name: "Nguyễn Văn An" });
  });

  test("is over an empty body, too", async () => {
    const headers = await createSigner("k", Date.now).headersFor("evt_1/commit", new Uint8Array());
    expect(() => verifierOf("k").verify("", headers, { jsonParse: false })).not.toThrow();
  });

  test("is refused for another id, another time, another body and by another key", async () => {
    const headers = await createSigner("k", Date.now).headersFor("evt_1", body);
    const later = String(Number(headers["webhook-timestamp"]) + 1);
    expect(() => verifierOf("k").verify(Buffer.from(body), { ...headers, "webhook-id": "evt_2" })).toThrow();
    expect(() => verifierOf("k").verify(Buffer.from(body), { ...headers, "webhook-timestamp": later })).toThrow();
    expect(() => verifierOf("k").verify("{}", headers)).toThrow();
    expect(() => verifierOf("l").verify(Buffer.from(body), headers)).toThrow();
  });

  test("is the one that the specification computes", async () => {
    const headers = await createSigner("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", () => 1_614_265_330_500).headersFor(
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      new TextEncoder().encode('{"test": 2432232314}'),
    );
    expect(headers).toEqual({
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    });
  });
});

describe("a key that cannot sign is refused before the first request", () => {
  test.each(["", "whsec_", "whsec_***"])("%p", (key) => {
    expect(() => createSigner(key, Date.now)).toThrow(TypeError);
  });
});
