/* What we tell others of by a signed POST, as the OpenAPI document has it. alert.ts sends it. */
import { z } from "zod";
import type { ZodOpenApiPathsObject } from "zod-openapi";
import { STRIPE_OUTCOMES } from "./stripeOutcome.ts";

const newKind = z
  .object({
    type: z.literal("dead_letter.new_kind"),
    timestamp: z.iso.datetime(),
    data: z.object({
      messageId: z.string().meta({ example: "msg_5c0e4f1a9d27b83e6610f4c2d900" }),
      eventId: z.string().meta({ example: "evt_7Q2", description: "Empty when the stored event cannot be read." }),
      fingerprint: z.string().meta({ example: "3f1c0d9a77be" }),
      reason: z.string().meta({ example: "550 5.1.1 no such user" }),
    }),
  })
  .meta({ id: "NewKindOfDeadLetter" });

const newOutcome = z
  .object({
    type: z.literal("stripe_event.new_kind"),
    timestamp: z.iso.datetime(),
    data: z.object({
      outcome: z.enum(STRIPE_OUTCOMES).meta({ example: "no_address" }),
      reason: z.string().meta({ example: "it has no e-mail address" }),
      stripeEventId: z.string().optional().meta({ example: "evt_1QPaid" }),
      stripeType: z.string().optional().meta({ example: "payment_intent.succeeded" }),
      eventId: z
        .string()
        .optional()
        .meta({ example: "stripe_pi_3Q", description: "Of the message, where there is one." }),
    }),
  })
  .meta({ id: "NewKindOfStripeEvent" });

const DELIVERY =
  "Sent to `ALERT_URL`, signed with `ALERT_KEY` as Standard Webhooks has it. Any 2xx takes it; else it is tried three more times.";

export const WEBHOOKS: ZodOpenApiPathsObject = {
  "dead_letter.new_kind": {
    post: {
      operationId: "tellNewKindOfDeadLetter",
      summary: "The first dead letter of a kind",
      description: DELIVERY,
      tags: ["dead letters"],
      security: [{ signature: [] }],
      requestBody: { required: true, content: { "application/json": { schema: newKind } } },
      responses: { 204: { description: "Taken" } },
    },
  },
  "stripe_event.new_kind": {
    post: {
      operationId: "tellNewKindOfStripeEvent",
      summary: "The first payment of a kind that Stripe told of, and that has no mail, or a poorer one",
      description: `${DELIVERY} A kind is an outcome; it is new again when there was none for a week.`,
      tags: ["events"],
      security: [{ signature: [] }],
      requestBody: { required: true, content: { "application/json": { schema: newOutcome } } },
      responses: { 204: { description: "Taken" } },
    },
  },
};
