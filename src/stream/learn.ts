/*
 * Notices of a payment come to one event.
 *   1. The notice joins those that came before it: one script, so that of two that come together one sees both.
 *   2. When they say that it is paid, and whom to write to, their event is posted.
 *   3. Where a message of the payment is there already, and its first attempt has not begun, it gets the event that all
 *      of them make. Later ones come to nothing.
 * Each step may be repeated: what a crash or a lost reply interrupts is done when the notice comes again.
 */
import type { Redis } from "ioredis";
import type { Event } from "../domain/event.ts";
import type { Accepted, Learned, Posted } from "../domain/ingress.ts";
import type { Notice, Understood } from "../domain/notice.ts";
import { understand } from "../types/understand.ts";
import { amendReason, digestsOf, type IngressOptions } from "./enqueueCall.ts";
import source from "./learn.lua" with { type: "text" };
import { orUnavailable, unavailable, type Written } from "./replicas.ts";
import { script } from "./script.ts";
import { amend, type Decided, Moved } from "./transaction.ts";

const learnScript = script("learn", source);

/** Before a mail that names no booking, where an event that names it may be on its way, also with a shorter DELAY_MS. */
const PATIENCE_MS = 5_000;

interface Store {
  post(event: Event, acceptedAt: number | undefined): Promise<Posted>;
  decideAtHome<Answer>(
    eventId: string,
    decide: (node: Redis, tag: string, messageId: string, version: number) => Promise<Decided<Answer>>,
  ): Promise<Written<Decided<Answer>>>;
}

export function createLearn(store: Store, options: IngressOptions) {
  function eventOf(notices: readonly Notice[]): Understood {
    const understood = understand(notices);
    if (understood.kind !== "event" || options.delayMs >= PATIENCE_MS) return understood;
    if (!notices.every(({ expectsMore }) => expectsMore)) return understood;
    return { kind: "event", event: { ...understood.event, options: { delayMs: PATIENCE_MS } } };
  }

  function earlierOf(notices: readonly Notice[]): string[] {
    return notices.slice(1).flatMap((_, i) => {
      const understood = eventOf(notices.slice(0, i + 1));
      return understood.kind === "event" ? [JSON.stringify(understood.event)] : [];
    });
  }

  /** Undefined: there is no message of the payment. @param earlier events that this one may take the place of, JSON */
  async function amendMessage(event: Event, earlier: readonly string[]): Promise<Learned | undefined> {
    const args = [JSON.stringify(event), digestsOf(event), amendReason(event), ...earlier];
    let home = "";
    const amended = await orUnavailable(() =>
      store.decideAtHome(event.id, (node, tag, id, version) => {
        home = tag;
        return amend(node, tag, id, version, args);
      }),
    );
    if ("kind" in amended) return amended;
    const { answer } = amended.answer;
    if (answer.kind === "not_found") return undefined;
    if (amended.short !== undefined) return unavailable(amended.short);
    const { messageId, state, dueAt } = answer;
    if (answer.kind === "amended") options.log.info({ eventId: event.id, messageId, dueAt }, "message amended");
    const durability = await options.durability(home);
    const accepted: Accepted = { kind: "accepted", messageId, state, dueAt, duplicate: true, durability };
    return { kind: "event", event, accepted, amended: answer.kind === "amended" };
  }

  async function mail(event: Event, earlier: readonly string[], isKnown: boolean, acceptedAt: number | undefined) {
    const known = isKnown || earlier.length > 0 ? await amendMessage(event, earlier) : undefined;
    if (known !== undefined) return known;
    const posted = await store.post(event, acceptedAt);
    if (posted.kind === "accepted") return { kind: "event", event, accepted: posted, amended: false } as const;
    if (posted.kind !== "conflict") return posted;
    return (
      (await amendMessage(event, earlier)) ?? ({ kind: "unavailable", reason: "its message has just expired" } as const)
    );
  }

  /** @param acceptedAt as of a post */
  return async (notice: Notice, acceptedAt?: number): Promise<Learned> => {
    const keptMs = notice.paid === undefined ? "" : options.retentionMs;
    const learned = await orUnavailable(() =>
      store.decideAtHome(notice.eventId, async (node, tag, id, version) => {
        const reply = (await learnScript(node, tag, [id, version, JSON.stringify(notice), keptMs])) as string[];
        if (reply[0] === "moved") throw new Moved();
        const changed = reply.pop() === "0";
        return { answer: reply, changed };
      }),
    );
    if ("kind" in learned) return learned;
    const { answer: texts, changed } = learned.answer;
    const notices = texts.map((text) => JSON.parse(text) as Notice);
    const understood = eventOf(notices);
    const answer =
      understood.kind === "event" ? await mail(understood.event, earlierOf(notices), !changed, acceptedAt) : understood;
    return learned.short === undefined ? answer : unavailable(learned.short);
  };
}
