/*
 * A transaction between hold and its decision. The payment comes first: no failure of the mail's side reaches
 * the caller, unless `proceedWithoutMail: false` asks for it.
 *
 *   hold       transaction            then
 *   taken      commits                commit; when the service has lost the event: post
 *   taken      throws                 rollback
 *   taken      may have committed     nothing: the service asks its booking store
 *   failed     commits                post, not held; when the hold had arrived after all: commit
 *   failed     throws                 rollback, in case the hold had arrived after all
 *   refused    either                 nothing: the same event would be refused again
 *
 * A crash at any point leaves a held event, which the check-back decides, or none. What fails in the column on
 * the right, and every hold that was refused, goes to `onUndecided`, never to the caller.
 */
import { type ErrorKind, PostpaidError } from "./errors.ts";
import type { Event } from "./event.ts";
import type { Accepted, Committed, RolledBack } from "./reply.ts";

/** The last chance to hear of a mail that may never leave, or may leave wrongly: log it, or keep the event. */
export interface Undecided {
  event: Event;
  /** What failed. */
  step: "hold" | "post" | "commit" | "rollback";
  /** `committed`: a mail is owed. `failed`: none is. `unknown`: it may have committed. */
  transaction: "committed" | "failed" | "unknown";
  /** A PostpaidError, as a rule. */
  error: unknown;
}

export interface WithMailOptions {
  /** The most that mail may delay the transaction, ms; 2,000 by default. Then it runs without a hold. */
  holdDeadlineMs?: number;
  /**
   * True by default: when the hold fails the transaction runs all the same, and the event is posted once it has
   * committed; only a crash in between loses the mail. False: the hold's error is thrown, and nothing runs.
   */
  proceedWithoutMail?: boolean;
  /**
   * Says of the transaction's error that it may have committed nevertheless: the connection was lost in COMMIT.
   * The event then stays held. By default an error means that it has not.
   */
  mayHaveCommitted?: (error: unknown) => boolean;
}

export interface Mail {
  hold(event: Event, withinMs: number): Promise<Accepted>;
  post(event: Event): Promise<Accepted>;
  commit(eventId: string): Promise<Committed>;
  rollback(eventId: string, withinMs?: number): Promise<RolledBack>;
  onUndecided(undecided: Undecided): void | Promise<void>;
}

/** `refused`: for what the event is, so that a second try would be, too. */
type Hold = { kind: "taken" } | { kind: "failed" | "refused"; error: unknown };

const HOLD_DEADLINE_MS = 2_000;

export async function withMail<T>(
  mail: Mail,
  event: Event,
  transaction: () => T | Promise<T>,
  options: WithMailOptions = {},
): Promise<T> {
  const { holdDeadlineMs = HOLD_DEADLINE_MS, proceedWithoutMail = true, mayHaveCommitted } = options;
  const hold = await tryHold(mail, event, holdDeadlineMs);
  if (hold.kind !== "taken" && !proceedWithoutMail) {
    await callOff(mail, event, hold, holdDeadlineMs);
    throw hold.error;
  }
  let result: T;
  try {
    result = await transaction();
  } catch (error) {
    if (!mayHaveCommitted?.(error)) {
      suppress(error, await callOff(mail, event, hold, holdDeadlineMs));
    } else if (hold.kind !== "taken") {
      await report(mail, { event, step: "hold", transaction: "unknown", error: hold.error });
    }
    throw error;
  }
  await seeOff(mail, event, hold);
  return result;
}

async function tryHold(mail: Mail, event: Event, withinMs: number): Promise<Hold> {
  try {
    await mail.hold(event, withinMs);
    return { kind: "taken" };
  } catch (error) {
    return { kind: is(error, "invalid", "too_large", "conflict") ? "refused" : "failed", error };
  }
}

/** The transaction has committed: the mail is owed. */
async function seeOff(mail: Mail, event: Event, hold: Hold): Promise<void> {
  let step: Undecided["step"] = "hold";
  const commit = async () => {
    step = "commit";
    await mail.commit(event.id);
  };
  const post = async () => {
    step = "post";
    await mail.post({ ...event, options: { ...event.options, hold: undefined } });
  };
  try {
    if (hold.kind === "taken") await commit().catch(whenIs("not_found", post));
    else if (hold.kind === "failed") await post().catch(whenIs("conflict", commit));
    else throw hold.error;
  } catch (error) {
    await report(mail, { event, step, transaction: "committed", error });
  }
}

function whenIs(kind: ErrorKind, otherwise: () => Promise<void>): (error: unknown) => Promise<void> {
  return async (error) => {
    if (!is(error, kind)) throw error;
    await otherwise();
  };
}

function is(error: unknown, ...kinds: ErrorKind[]): boolean {
  return error instanceof PostpaidError && kinds.includes(error.kind);
}

/** The transaction has failed, or was not run: no mail may leave. Returns what went wrong with that. */
async function callOff(mail: Mail, event: Event, hold: Hold, withinMs: number): Promise<unknown> {
  if (hold.kind === "refused") return undefined; // nothing was taken
  try {
    const answer = await mail.rollback(event.id, hold.kind === "failed" ? withinMs : undefined);
    if (answer.result === "cancelled" || answer.result === "journaled") return undefined;
    throw new PostpaidError("conflict", `The rollback found its mail ${answer.result}`, { cause: answer, tries: 1 });
  } catch (error) {
    await report(mail, { event, step: "rollback", transaction: "failed", error });
    return error;
  }
}

/** The caller gets the transaction's own error; what failed after it stands beside, named as in SuppressedError. */
function suppress(error: unknown, suppressed: unknown): void {
  if (suppressed === undefined || !(error instanceof Error) || !Object.isExtensible(error)) return;
  Object.defineProperty(error, "suppressed", { value: suppressed, configurable: true, writable: true });
}

async function report(mail: Mail, undecided: Undecided): Promise<void> {
  try {
    await mail.onUndecided(undecided);
  } catch (error) {
    console.error(`postpaid: ${undecided.step} failed, and so did onUndecided:`, undecided.error, error);
  }
}
