/*
 * msg_<26 hexadecimal digits, from the event's id><2 more, the partition>.
 * The same event gives the same id wherever it is taken in, also where Redis cannot be asked.
 */
import { hash } from "node:crypto";
import { tagOf } from "./keys.ts";
import { type Partitions, tagsServedBy } from "./layout.ts";

const LENGTH = 26;

export const MAX_PARTITIONS = 256;

export function messageIdOf(eventId: string, partition: number): string {
  return `msg_${hash("sha256", eventId, "hex").slice(0, LENGTH)}${partition.toString(16).padStart(2, "0")}`;
}

/** The id that the event of this message gives: its own, without the number of a later message of the event. */
export function firstMessageId(messageId: string): string {
  return messageId.replace(/\.\d+$/, "");
}

/** Where a message may be, and its id there. */
export interface Place {
  tag: string;
  id: string;
}

/**
 * In the partition that its id names. An answer from the journal may name another one, where the number of partitions
 * has changed since: then in any other, under the same digits of its event. An entry that named no message was laid out
 * under its own id, in whichever partition it was.
 */
export function placesOf(messageId: string, partitions: Partitions): Place[] {
  const tags = tagsServedBy(partitions);
  const [, event, named = "", number = ""] = /^(msg_[0-9a-f]{26})([0-9a-f]{2})(\.\d+)?$/.exec(messageId) ?? [];
  if (event === undefined) return tags.map((tag) => ({ tag, id: messageId }));
  const home = Number.parseInt(named, 16);
  const others = tags.flatMap((tag, partition) =>
    partition === home ? [] : [{ tag, id: `${event}${partition.toString(16).padStart(2, "0")}${number}` }],
  );
  return [{ tag: tagOf(home), id: messageId }, ...others];
}
