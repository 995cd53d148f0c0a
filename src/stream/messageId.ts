/*
 * msg_<26 hexadecimal digits, from the event's id><2 more, the partition>.
 * The same event gives the same id wherever it is taken in, also where Redis cannot be asked.
 */
import { hash } from "node:crypto";
import { tagOf, tagsOf } from "./keys.ts";

const LENGTH = 26;

export const MAX_PARTITIONS = 256;

export function messageIdOf(eventId: string, partition: number): string {
  return `msg_${hash("sha256", eventId, "hex").slice(0, LENGTH)}${partition.toString(16).padStart(2, "0")}`;
}

/** The id that the event of this message gives: its own, without the number of a later message of the event. */
export function firstMessageId(messageId: string): string {
  return messageId.replace(/\.\d+$/, "");
}

/** Where a message may be. An entry that named none was laid out under its own id, in whichever partition it was. */
export function tagsOfMessage(messageId: string, partitions: number): string[] {
  const match = /^msg_[0-9a-f]{26}([0-9a-f]{2})(?:\.\d+)?$/.exec(messageId);
  return match === null ? tagsOf(partitions) : [tagOf(Number.parseInt(match[1] as string, 16))];
}
