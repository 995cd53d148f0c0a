/*
 * What was answered with 202 is found, or nobody can say: never is there "no such message" of one that is in the journal.
 * Redis may answer meanwhile, for a partition whose slot moves, or when it has no memory for posts.
 * The journal is asked first: what leaves it is in Redis by then.
 */
import type { Journal } from "./journal/journal.ts";
import { type Messages, NotInRedisYet } from "./stream/store.ts";

export function orJournaled(messages: Messages, journal: Pick<Journal, "depth" | "find">): Messages {
  return {
    ...messages,
    async byId(messageId) {
      const mayBeJournaled = journal.depth() > 0; // an id does not say which event's it is
      const message = await messages.byId(messageId);
      if (message === undefined && mayBeJournaled) throw new NotInRedisYet();
      return message;
    },
    async byEvent(eventId) {
      const isJournaled = journal.find(eventId).some(({ kind }) => kind === "post");
      const message = await messages.byEvent(eventId);
      if (message === undefined && isJournaled) throw new NotInRedisYet();
      return message;
    },
  };
}
