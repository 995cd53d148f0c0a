/* msg_<26 characters of Crockford base32, a UUIDv7><2 hex digits, the partition>: sorts by time, says where it is. */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

export const MAX_PARTITIONS = 256;

export function newMessageId(partition: number): string {
  const bytes = Bun.randomUUIDv7("buffer");
  let text = "";
  let bits = 0;
  let held = 2; // 128 bits are 26 characters less 2 bits: those come first, as zeros
  for (const byte of bytes) {
    bits = (bits << 8) | byte;
    held += 8;
    while (held >= 5) {
      held -= 5;
      text += ALPHABET[(bits >> held) & 31];
    }
    bits &= (1 << held) - 1;
  }
  return `msg_${text}${partition.toString(16).padStart(2, "0")}`;
}

/** The partition that holds a message, or undefined when the id does not say it. */
export function partitionOfMessage(messageId: string): number | undefined {
  const match = /^msg_[0-9a-hjkmnp-tv-z]{26}([0-9a-f]{2})$/.exec(messageId);
  return match === null ? undefined : Number.parseInt(match[1] as string, 16);
}
