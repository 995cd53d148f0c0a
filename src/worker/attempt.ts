/* One attempt: from an entry that this worker owns to what has to be settled. Never throws. */
import type { Event } from "../domain/event.ts";
import { decide, type Outcome, type RetryPolicy } from "../domain/outcome.ts";
import type { Mail, Mailer } from "../mail/mailer.ts";
import type { Taken } from "../stream/take.ts";
import type { Circuit } from "./circuit.ts";

/** `released`: not tried, no attempt is spent. */
export type Settlement = Outcome | { kind: "released"; reason: string };

export interface AttemptDeps {
  render: (event: Event, messageId: string) => Mail;
  mailer: Mailer;
  circuit: Circuit;
  policy: RetryPolicy;
  /** Jitter, in [0, 1). */
  random: () => number;
}

/** @param event what the entry's message holds; undefined when it cannot be read */
export async function attempt(taken: Taken, event: Event | undefined, deps: AttemptDeps): Promise<Settlement> {
  if (event === undefined) return { kind: "dead", reason: "the stored event cannot be read" };
  let mail: Mail;
  try {
    mail = deps.render(event, taken.messageId);
  } catch (error) {
    return { kind: "dead", reason: `the mail cannot be rendered: ${error instanceof Error ? error.message : error}` };
  }
  const delivery = await deps.mailer.send(mail);
  switch (delivery.kind) {
    case "sent":
      deps.circuit.answered();
      return { kind: "sent", reply: delivery.reply };
    case "failed":
      deps.circuit.answered();
      return decide(taken.attempt - taken.attemptsBefore, delivery.failure, deps.policy, deps.random());
    case "relay_fault":
      deps.circuit.fault(delivery.reason);
      return { kind: "released", reason: delivery.reason };
  }
}
