/*
 * msg_<26 characters of Crockford base32, from the event's id><2 hex digits, the partition>.
 * The same event gives the same id wherever it is taken in, also where Redis cannot be asked.
 */
import { hash } from "node:crypto";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH = 26;

export const MAX_PARTITIONS = 256;

export function messageIdOf(eventId: string, partition: number): string {
  const digest = hash("sha256", eventId, "buffer");
  let text = "";
  let bits = 0;
  let held = 0;
  for (let i = 0; text.length < LENGTH; i++) {
    bits = (bits << 8) | (digest[i] as number);
    held += 8;
    while (held >= 5 && text.length < LENGTH) {
      held -= 5;
      text += ALPHABET[(bits >> held) & 31];
    }
    bits &= (1 << held) - 1;
  }
  return `msg_${text}${partition.toString(16).padStart(2, "0")}`;
}

/** The id that the event of this message gives: its own, without the number of a later message of the event. */
export function firstMessageId(messageId: string): string {
  return messageId.replace(/\.\d+$/, "");
}

/** The partition that holds a message, or undefined when the id does not say it. */
export function partitionOfMessage(messageId: string): number | undefined {
  const match = /^msg_[0-9a-hjkmnp-tv-z]{26}([0-9a-f]{2})(?:\.\d+)?$/.exec(messageId);
  return match === null ? undefined : Number.parseInt(match[1] as string, 16);
}
