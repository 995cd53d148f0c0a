import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { createStripeVerifier } from "../../src/http/stripeSignature.ts";
import { harness, NOW, post, problemOf } from "./support.ts";

const PATH = "/v1/webhooks/stripe";
const FIRST = "whsec_first0123456789";
const SECOND = "whsec_second0123456789";

/** Signed and of no interest: 200 says that the signature was taken. */
const BODY = JSON.stringify({ id: "evt_1", type: "customer.created", data: { object: { name: "Nguyễn Văn An" } } });

const NOW_S = NOW / 1000;

function app(stripeSecrets = [FIRST, SECOND]) {
  return harness({ stripeSecrets });
}

function v1(key: string | Uint8Array, { at = NOW_S as number | string, body = BODY as string | Uint8Array } = {}) {
  return `v1=${createHmac("sha256", key).update(`${at}.`).update(body).digest("hex")}`;
}

const signed = (key: string, at = NOW_S) => `t=${at},${v1(key, { at })}`;

async function statusOf(header: string, body: string | Uint8Array = BODY): Promise<number> {
  const response = await post(app().app, PATH, body, { "stripe-signature": header });
  return response.status;
}

describe("a Stripe-Signature", () => {
  test("that Stripe's own library made is taken", () => {
    const body = '{"id":"evt_1","object":"event","type":"charge.succeeded","note":"Hà Nội → Sa Pa"}';
    const header = "t=1795512600,v1=90f8ea444f76cc7d8a104a91f2d122d540119e17475b35010ba515260eb8932a";
    const faultOf = createStripeVerifier(["whsec_test_secret"]);
    expect(faultOf(header, Buffer.from(body), 1_795_512_600_000)).toBeUndefined();
    expect(faultOf(header, Buffer.from(`${body} `), 1_795_512_600_000)).toStartWith("no v1");
  });

  test("made with any of the secrets is taken", async () => {
    for (const secret of [FIRST, SECOND]) expect(await statusOf(signed(secret))).toBe(200);
  });

  test("counts when it is one of several in the header, as while a secret is rolled", async () => {
    const other = v1("whsec_rolled_out");
    for (const header of [
      `t=${NOW_S},${other},${v1(SECOND)}`,
      `t=${NOW_S},${v1(FIRST)},${other},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39`,
      `v1=${"0".repeat(64)}, ${v1(FIRST)}, t=${NOW_S}`,
      `t=${NOW_S},v1=,v1=zz,,=,v1,${v1(FIRST)}`,
    ]) {
      expect(await statusOf(header)).toBe(200);
    }
  });

  test("may be five minutes off, to both sides, and no more", async () => {
    for (const off of [-300, -299, 299, 300]) expect(await statusOf(signed(FIRST, NOW_S + off))).toBe(200);
    for (const off of [-301, 301, -86_400, 86_400]) {
      const response = await post(app().app, PATH, BODY, { "stripe-signature": signed(FIRST, NOW_S + off) });
      expect(response.status).toBe(400);
      expect((await problemOf(response)).detail).toContain("more than 5 minutes off this clock");
    }
  });

  test.each([
    ["made with another secret", signed("whsec_another")],
    ["made with a secret's text without its prefix", signed(FIRST.slice(6))],
    [
      "made with the base64 behind whsec_, as in Standard Webhooks",
      `t=${NOW_S},${v1(Buffer.from(FIRST.slice(6), "base64"))}`,
    ],
    ["over another body", `t=${NOW_S},${v1(FIRST, { body: `${BODY} ` })}`],
    ["over another timestamp", `t=${NOW_S},${v1(FIRST, { at: NOW_S - 1 })}`],
    ["over the body alone", `t=${NOW_S},v1=${createHmac("sha256", FIRST).update(BODY).digest("hex")}`],
    ["without a timestamp", v1(FIRST)],
    ["with an empty timestamp", `t=,${v1(FIRST, { at: "" })}`],
    ["with a timestamp that is no number", `t=now,${v1(FIRST, { at: "now" })}`],
    ["with a timestamp in another notation", `t=1e9,${v1(FIRST, { at: "1e9" })}`],
    ["with a timestamp beyond all time", `t=${"9".repeat(400)},${v1(FIRST, { at: "9".repeat(400) })}`],
    ["with a negative timestamp", `t=-1,${v1(FIRST, { at: -1 })}`],
    ["without a v1", `t=${NOW_S}`],
    ["of another scheme", `t=${NOW_S},${v1(FIRST).replace("v1", "v0")}`],
    ["in capitals", `t=${NOW_S},v1=${v1(FIRST).slice(3).toUpperCase()}`],
    ["that is cut", signed(FIRST).slice(0, -1)],
    ["that is longer", `${signed(FIRST)}0`],
    ["that is empty", ""],
    ["that is garbage", "=,=,,t==,v1==,\u00e9"],
  ])("%s is refused with 400", async (_, header) => {
    const { app: made, posted, logged } = app();
    const response = await post(made, PATH, BODY, { "stripe-signature": header });
    expect(response.status).toBe(400);
    const { type, detail } = await problemOf(response);
    expect(type).toBe("urn:postpaid:problem:invalid-request");
    expect(detail).toStartWith("The Stripe-Signature was not accepted: ");
    expect([posted, logged]).toEqual([[], []]);
  });

  test("that is not there is refused before the body is looked at", async () => {
    const response = await post(app().app, PATH, "x".repeat(100_000), {});
    expect(response.status).toBe(400);
    expect((await problemOf(response)).detail).toEndWith("there is none.");
  });

  test("says nothing of the secrets", async () => {
    const response = await post(app().app, PATH, BODY, { "stripe-signature": signed("whsec_another") });
    const text = await response.text();
    for (const secret of [FIRST, SECOND]) expect(text).not.toContain(secret.slice(6));
  });

  test("is made over the bytes as they are, and checked before they are text", async () => {
    const broken = new Uint8Array(Buffer.from('{"id":"\xff"}', "latin1"));
    expect(await statusOf(`t=${NOW_S},${v1(FIRST, { body: '{"id":"\ufffd"}' })}`, broken)).toBe(400);
    const response = await post(app().app, PATH, broken, {
      "stripe-signature": `t=${NOW_S},${v1(FIRST, { body: broken })}`,
    });
    expect(response.status).toBe(400);
    expect((await problemOf(response)).detail).toBe("The body is not valid UTF-8.");
  });
});

describe("without STRIPE_WEBHOOK_SECRETS", () => {
  test("the route is 404 and says what is missing, whatever is sent", async () => {
    for (const headers of [{}, { "stripe-signature": signed("") }, { "stripe-signature": signed(FIRST) }]) {
      const { app: made, posted } = app([]);
      const response = await post(made, PATH, BODY, headers as Record<string, string>);
      expect(response.status).toBe(404);
      const { type, detail } = await problemOf(response);
      expect(type).toBe("urn:postpaid:problem:not-found");
      expect(detail).toStartWith("STRIPE_WEBHOOK_SECRETS is not set");
      expect(posted).toEqual([]);
    }
  });
});
