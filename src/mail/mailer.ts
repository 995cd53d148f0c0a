/* The narrow port behind which the SMTP library stands. */
import type { Failure } from "../domain/outcome.ts";

/** A rendered mail for one recipient. */
export interface Mail {
  /** The same on each attempt (RFC 5322 3.6.4), without the angle brackets. */
  messageIdHeader: string;
  to: { address: string; name?: string };
  subject: string;
  text: string;
  html: string;
  /** BCP 47. */
  language: string;
}

/** How an attempt ended, as far as SMTP can tell. */
export type Delivery =
  | { kind: "sent"; reply: string }
  | { kind: "failed"; failure: Failure }
  /**
   * The relay's fault, not the message's: nothing was handed over and no attempt is spent. `suspect`: it may be the
   * message's after all, the relay failed in the middle of it.
   */
  | { kind: "relay_fault"; reason: string; suspect?: true };

/** There was an objection when its turn came. Nothing was said to the relay. */
export interface Withheld<Objection> {
  kind: "withheld";
  because: Objection;
}

export interface Mailer {
  /** Never throws. */
  send(mail: Mail): Promise<Delivery>;
  /** @param objectionOf asked when the mail had to wait for a connection */
  send<Objection>(
    mail: Mail,
    objectionOf: () => Promise<Objection | undefined>,
  ): Promise<Delivery | Withheld<Objection>>;
  /** Asks an idle connection, or greets on a new one; undefined when the relay is fine, else what is wrong with it. */
  probe(): Promise<string | undefined>;
  /** Waits for what is in flight. */
  close(): Promise<void>;
  /** Ends what is in flight at once: a relay_fault where the final dot was not written, ambiguous where it may be. */
  abort(): void;
}
