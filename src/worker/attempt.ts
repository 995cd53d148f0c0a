/*
 * One attempt, from a message that this worker owns to what has to be settled:
 *   1. the gates: is it still wanted?
 *   2. the mail is made
 *   3. it is handed to the relay; where it waited for a connection, the gates are asked again
 *   4. what that showed about relay and message is noted, and what becomes of the message is decided
 * It never throws, and nothing in it is fatal: a fault of the relay spends no attempt.
 */
import type { Event } from "../domain/event.ts";
import { decide, type RetryPolicy, type Settlement } from "../domain/outcome.ts";
import type { Delivery, Mail, Mailer } from "../mail/mailer.ts";
import type { Taken } from "../stream/take.ts";
import { type GateDeps, gatesAfterWait, gatesBefore, objectionOf } from "./gates.ts";
import type { RelayBreaker } from "./relayBreaker.ts";
import type { Suspects } from "./suspects.ts";

export interface AttemptDeps extends GateDeps {
  render: (event: Event, messageId: string) => Mail;
  mailer: Pick<Mailer, "send">;
  relay: Pick<RelayBreaker, "answered" | "fault">;
  suspects: Suspects;
  policy: RetryPolicy;
  /** Jitter, in [0, 1). */
  random: () => number;
}

/**
 * @param askedAt when the message was asked for, time.monotonicMs()
 * @param event what the entry's message holds; undefined when it cannot be read
 */
export async function attempt(
  taken: Taken,
  askedAt: number,
  event: Event | undefined,
  deps: AttemptDeps,
): Promise<Settlement> {
  if (event === undefined) return { kind: "dead", how: "untried", reason: "the stored event cannot be read" };
  const objection = await objectionOf(gatesBefore(taken, askedAt, event, deps));
  if (objection !== undefined) return objection;
  let mail: Mail;
  try {
    mail = deps.render(event, taken.messageId);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { kind: "dead", how: "untried", reason: `the mail cannot be rendered: ${detail}` };
  }
  const delivery = await deps.mailer.send(mail, () => objectionOf(gatesAfterWait(taken, event, deps)));
  if (delivery.kind === "withheld") return delivery.because;
  const isToBlame = note(delivery, taken.messageId, deps);
  return settlementOf(delivery, isToBlame, taken.attempt - taken.attemptsBefore, deps.policy, deps.random());
}

/** What the delivery shows about the relay. True: the message itself is to blame for the relay's fault. */
function note(delivery: Delivery, messageId: string, { relay, suspects }: AttemptDeps): boolean {
  if (delivery.kind !== "relay_fault") {
    suspects.clears(messageId);
    relay.answered(); // well or badly: it is there
    return false;
  }
  if (delivery.suspect && suspects.blames(messageId)) return true;
  if (!delivery.suspect) suspects.clears(messageId);
  relay.fault(delivery.reason);
  return false;
}

/** @param nth of the attempts since the post or the last replay, from 1 */
function settlementOf(
  delivery: Delivery,
  isToBlame: boolean,
  nth: number,
  policy: RetryPolicy,
  random: number,
): Settlement {
  switch (delivery.kind) {
    case "sent":
      return { kind: "sent", reply: delivery.reply };
    case "failed":
      return decide(nth, delivery.failure, policy, random);
    case "relay_fault": {
      const { reason } = delivery;
      return isToBlame ? decide(nth, { kind: "transient", reason }, policy, random) : { kind: "released", reason };
    }
  }
}
