/*
 * The ingress behind the journal, and what its answers show about each of its partitions: whether it is away, and
 * how much it has taken. An error that nobody foresaw is no verdict on what was asked: the same may be asked again.
 */
import type { Logger } from "pino";
import type { Committed, Learned, Posted, RolledBack, Unavailable } from "../domain/ingress.ts";
import { type Entry, isAddition } from "./entry.ts";

type Question = Pick<Entry, "kind" | "eventId">;

/** Redis has it, on too few replicas: as good as away for who waits, but not for the drain. */
export interface PutOnly {
  kind: "put";
  /** As in Unavailable. */
  connection: number;
  said: Unavailable["said"];
}

export interface Upstream {
  /**
   * Its answer; else "away", put only, "refused" (a post, of which it takes none now), or "failed" with an error that may
   * be this question's or everybody's.
   */
  ask<T extends Posted | Committed | RolledBack | Learned>(
    question: Question,
    put: () => Promise<T>,
  ): Promise<Exclude<T, Unavailable> | PutOnly | "away" | "refused" | "failed">;
  /** For a question like this one. */
  isAway(question: Question): boolean;
  /** It takes what it is told, and has too few replicas. */
  isShort(question: Question): boolean;
  /** The next one who wants something of this event's partition asks, and finds out. */
  presumeBack(eventId: string): void;
  /** How many questions of this kind the partition has taken so far. */
  taken(question: Question): number;
}

/** What is known of a partition. */
function unknownPartition() {
  return {
    away: false,
    /** It is there, and has too few replicas. */
    isShort: false,
    /** It takes commits and rollbacks, and no posts. */
    refusesPosts: false,
    /** What the log says is wrong: once, until the next answer. */
    said: undefined as "away" | "failed" | undefined,
    taken: { post: 0, commit: 0, rollback: 0, notice: 0 },
  };
}

/** @param partitionOf may change, with the number of partitions */
export function createUpstream(partitionOf: (eventId: string) => number, log: Logger): Upstream {
  const all = new Map<number, ReturnType<typeof unknownPartition>>();
  function of(eventId: string) {
    const partition = all.get(partitionOf(eventId)) ?? unknownPartition();
    all.set(partitionOf(eventId), partition);
    return partition;
  }

  return {
    async ask<T extends Posted | Committed | RolledBack | Learned>(question: Question, put: () => Promise<T>) {
      const { kind, eventId } = question;
      const partition = of(eventId);
      try {
        const answer = await put();
        if (answer.kind !== "unavailable") {
          partition.away = false;
          partition.isShort = false;
          if (isAddition(question)) partition.refusesPosts = false;
          if (!partition.refusesPosts) partition.said = undefined;
          if (answer.kind !== "full") partition.taken[kind] += 1;
          return answer as Exclude<T, Unavailable>;
        }
        if (partition.said !== "away") log.error({ reason: answer.reason }, "redis is away, events are journaled");
        partition.said = "away";
        partition.refusesPosts = "takesDecisions" in answer;
        partition.away = !partition.refusesPosts;
        partition.isShort = answer.writtenOver !== undefined;
        if (answer.writtenOver !== undefined) return { kind: "put", connection: answer.writtenOver, said: answer.said };
        return partition.away ? "away" : "refused";
      } catch (error) {
        if (partition.said !== "failed")
          log.error({ err: error, eventId, kind }, "redis failed, what it did not take is journaled");
        partition.said = "failed";
        return "failed";
      }
    },
    isAway: (question) => of(question.eventId).away || (isAddition(question) && of(question.eventId).refusesPosts),
    isShort: ({ eventId }) => of(eventId).isShort,
    presumeBack(eventId) {
      of(eventId).away = false;
      of(eventId).refusesPosts = false;
    },
    taken: ({ kind, eventId }) => of(eventId).taken[kind],
  };
}
