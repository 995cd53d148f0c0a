/*
 * msg_<26 hexadecimal digits, from the event's id><2 more, the partition>.
 * The same event gives the same id wherever it is taken in, also where Redis cannot be asked.
 */
import { hash } from "node:crypto";

const LENGTH = 26;

export const MAX_PARTITIONS = 256;

export function messageIdOf(eventId: string, partition: number): string {
  return `msg_${hash("sha256", eventId, "hex").slice(0, LENGTH)}${partition.toString(16).padStart(2, "0")}`;
}

/** The id that the event of this message gives: its own, without the number of a later message of the event. */
export function firstMessageId(messageId: string): string {
  return messageId.replace(/\.\d+$/, "");
}

/** The partition that holds a message, or undefined when the id does not say it. */
export function partitionOfMessage(messageId: string): number | undefined {
  const match = /^msg_[0-9a-f]{26}([0-9a-f]{2})(?:\.\d+)?$/.exec(messageId);
  return match === null ? undefined : Number.parseInt(match[1] as string, 16);
}
