/*
 * POST /v1/webhooks/stripe: a payment that Stripe tells of, without a producer of one's own. Whatever Stripe
 * could not make better by sending it again is answered with 200, with `ignored` and why: after any other answer
 * Stripe sends it again, for up to three days, and in the end switches the endpoint off. What could not be stored
 * is a 503, and comes again. A payment without its mail is said by us instead: stripeOutcome.ts.
 *
 * What all events of a payment say makes one mail (domain/notice.ts): those that come before its first attempt begins.
 * checkout.session.completed knows most, and where it is captured or paid later another event says so. A subscription's
 * session names no payment and shares no id with it.
 */
import type { Context } from "hono";
import type { Logger } from "pino";
import { z } from "zod";
import type { Event } from "../domain/event.ts";
import type { Ingress } from "../domain/ingress.ts";
import { lossesOf, type Notice } from "../domain/notice.ts";
import { answer } from "./answer.ts";
import { decodeJson, decodeText, type Read, readBytes } from "./body.ts";
import { problem, refuse } from "./problem.ts";
import type { Refusals } from "./refusals.ts";
import { type Route, route } from "./route.ts";
import { mapStripeEvent, type StripeEnvelope } from "./stripeEvent.ts";
import { createStripeWatch, type OutcomeDeps, type StripeOutcome } from "./stripeOutcome.ts";
import { PAYMENT_READERS } from "./stripePayment.ts";
import { createStripeVerifier } from "./stripeSignature.ts";

export interface StripeDeps {
  ingress: Ingress;
  /** `whsec_…`, of one endpoint or of several; none: there is no such route. */
  stripeSecrets: readonly string[];
  sendsTestEvents: boolean;
  stripe: Omit<OutcomeDeps, "log">;
  refusals: Refusals;
  log: Logger;
  /** Epoch ms. */
  now(): number;
}

/** Stripe's own: 50 keys of metadata with 500 characters each take 75 KB of UTF-8, or 150 KB of escapes. */
const MAX_STRIPE_BYTES = 1_048_576;

const STRIPE_ABOUT = `Takes ${[...PAYMENT_READERS.keys()].map((type) => `\`${type}\``).join(", ")}; those of one payment make one mail. From \`metadata\`: \`booking_id\`, \`booking_title\`, \`starts_at\` (ISO 8601) and \`locale\`. What makes no mail is answered with 200 and \`ignored\`.`;

/** The envelope; what is inside `object` depends on `type`. */
const stripeInput = z
  .looseObject({
    id: z.string().meta({ example: "evt_1QPaid" }),
    type: z.string().meta({ example: "checkout.session.completed" }),
    created: z.int().meta({ description: "Epoch seconds" }),
    livemode: z.boolean(),
    data: z.looseObject({ object: z.looseObject({}) }),
  })
  .meta({ id: "StripeEvent" });

export const stripeReply = z
  .union([
    z.object({ received: z.literal(true), id: z.string(), duplicate: z.boolean() }),
    z.object({ received: z.literal(true), ignored: z.string().meta({ description: "Why it makes no mail" }) }),
  ])
  .meta({ id: "StripeReceived" });

export function stripeRoutes(deps: StripeDeps): Route[] {
  const { ingress, log, now, refusals, stripeSecrets, sendsTestEvents } = deps;
  const faultOf = createStripeVerifier(stripeSecrets);
  const watch = createStripeWatch({ ...deps.stripe, log });

  async function handle(c: Context): Promise<Response> {
    if (stripeSecrets.length === 0) {
      return refuse(problem("not-found", "STRIPE_WEBHOOK_SECRETS is not set: no event of Stripe's could be verified."));
    }
    const json = await readSigned(c);
    if (!json.ok) return refuse(json.problem);
    const { mapped, ...envelope } = mapStripeEvent(json.value);
    if (mapped.kind === "none") return ignored(mapped.why, mapped.reason, envelope);
    if (mapped.notice.isTest && !sendsTestEvents) return ignored("test_event", TEST_EVENT, envelope);
    return take(mapped.notice, mapped.unpaid, envelope);
  }

  function ignored(outcome: StripeOutcome, reason: string, envelope: StripeEnvelope): Response {
    watch(outcome, { ...envelope, reason });
    return reply({ received: true, ignored: reason });
  }

  /** A wrong signature is a 400, as in Stripe's own examples: it is about the body, and asks for no credentials. */
  async function readSigned(c: Context): Promise<Read<unknown>> {
    const request = c.req.raw;
    const header = request.headers.get("stripe-signature");
    if (header === null) {
      await refusals.refused(request, c.env, "missing");
      return unsigned("there is none");
    }
    const body = await readBytes(request, MAX_STRIPE_BYTES);
    if (!body.ok) return body;
    const fault = faultOf(header, body.value, now());
    if (fault !== undefined) {
      await refusals.refused(request, c.env, "signature");
      return unsigned(fault);
    }
    const text = decodeText(body.value);
    return text.ok ? decodeJson(text.value) : text;
  }

  async function take(notice: Notice, unpaid: string | undefined, envelope: StripeEnvelope): Promise<Response> {
    const learned = await ingress.learn(notice);
    switch (learned.kind) {
      case "event": {
        const { event, accepted, amended } = learned;
        const { messageId, duplicate } = accepted;
        const isNew = !duplicate || amended;
        const outcome = !isNew ? "duplicate" : lossesOf(event).length > 0 ? "poorer" : amended ? "amended" : "accepted";
        watch(outcome, { ...envelope, eventId: event.id, messageId, duplicate, notes: headsOf(event) });
        return reply({ received: true, id: messageId, duplicate });
      }
      case "unpaid":
        return ignored("unpaid", unpaid ?? "nobody has said that it is paid", envelope);
      case "unmailable":
        return ignored(learned.lack, learned.reason, envelope);
      case "full":
        watch("refused", envelope);
        return refuse(
          problem("backlog-full", `${learned.limit} messages wait already. Send the same event again later.`),
        );
      case "unavailable":
        watch("refused", envelope);
        return refuse(problem("unavailable", `${learned.reason}. Sending the same event again is safe.`));
    }
  }

  return [
    route({
      method: "post",
      path: "/v1/webhooks/stripe",
      name: "postStripeEvent",
      access: "stripe",
      tag: "events",
      summary: "Post a signed event of Stripe's",
      about: STRIPE_ABOUT,
      body: { schema: stripeInput, required: true },
      answers: { 200: { about: "Taken, or ignored and why", schema: stripeReply } },
      refuses: [400, 404, 413, 415, 503],
      handle,
    }),
  ];
}

const TEST_EVENT = "it is of test mode, and STRIPE_TEST_EVENTS is ignore";

/** What was changed or left out, without what it was: the log names nobody. */
function headsOf({ notes = [] }: Event): string[] {
  return notes.map(
    ({ pointer, detail }) =>
      `${pointer} ${detail.startsWith("read as") ? "read in another form" : detail.split(":", 1)[0]}`,
  );
}

function unsigned(fault: string): Read<never> {
  return { ok: false, problem: problem("invalid-request", `The Stripe-Signature was not accepted: ${fault}.`) };
}

function reply(body: z.infer<typeof stripeReply>): Response {
  return answer(body);
}
