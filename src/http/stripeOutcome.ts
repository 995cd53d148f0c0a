/*
 * What becomes of Stripe's events: each is counted and logged, and a payment that ends without a mail, or with a poorer
 * one, is a warning, and an alert once for each outcome. Stripe is told 200 for all of them, so nobody else says it.
 */
import type { Logger } from "pino";
import type { StripeEnvelope } from "./stripeEvent.ts";

/** `true`: somebody should look at it. */
const OUTCOMES = {
  accepted: false,
  /** The mail lacks something that was given in a form that cannot be read. */
  poorer: true,
  /** It added to a mail that waits. */
  amended: false,
  duplicate: false,
  /** Nobody has said so far that it is paid. */
  unpaid: false,
  trial: false,
  test_event: false,
  other_type: false,
  /** It is signed, and no event of Stripe's. */
  no_event: false,
  no_address: true,
  bad_address: true,
  no_amount: true,
  /** It is of a type that tells of payments, and not as Stripe documents it. */
  unreadable: true,
  /** Answered with 503: Stripe sends it again. */
  refused: false,
} as const;

export type StripeOutcome = keyof typeof OUTCOMES;

export const STRIPE_OUTCOMES = Object.keys(OUTCOMES) as StripeOutcome[];

/** The first event that ended so, since there was none for a while. */
export interface NewOutcome {
  outcome: StripeOutcome;
  reason: string;
  stripeEventId?: string | undefined;
  stripeType?: string | undefined;
  /** Of ours. */
  eventId?: string | undefined;
}

export interface OutcomeDeps {
  log: Logger;
  count(outcome: StripeOutcome): void;
  /** Whether nobody was told of it lately. */
  isNews(outcome: StripeOutcome): Promise<boolean>;
  alert(outcome: NewOutcome): void;
}

/** `eventId`, `messageId`: of ours, where there is one. */
interface About extends StripeEnvelope {
  eventId?: string | undefined;
  messageId?: string | undefined;
  duplicate?: boolean | undefined;
  reason?: string | undefined;
  notes?: string[] | undefined;
}

export type StripeWatch = (outcome: StripeOutcome, about: About) => void;

export function createStripeWatch({ log, count, isNews, alert }: OutcomeDeps): StripeWatch {
  async function tell(news: NewOutcome): Promise<void> {
    if (await isNews(news.outcome)) alert(news);
  }

  return (outcome, about) => {
    count(outcome);
    if (outcome === "refused") return; // what refused it has logged why
    const level = OUTCOMES[outcome] ? "warn" : "info";
    const isOwed = about.messageId !== undefined;
    log[level]({ ...about, outcome }, isOwed ? "stripe event accepted" : "stripe event ignored");
    if (!OUTCOMES[outcome]) return;
    const { stripeEventId, stripeType, eventId, notes = [] } = about;
    const reason = about.reason ?? notes.join(", ");
    void tell({ outcome, reason, stripeEventId, stripeType, eventId });
  };
}
