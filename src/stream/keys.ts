/*
 * Every key, with its type, meaning and lifetime. All keys of partition p carry the hash tag {pp:p}, so
 * they share one Redis Cluster slot and a script may touch any of them. Scripts get the tag as KEYS[1]
 * and the names below from their prelude: this is the only place where they are written.
 */
import { hash, randomUUID } from "node:crypto";
import { PRIORITIES } from "../domain/lifecycle.ts";

/** The consumer group on each work stream. */
export const GROUP = "workers";

/** The feed keeps about this many entries: one for each script call, of one to a hundred transitions. */
export const FEED_LENGTH = 50_000;

/** At most so many are trimmed at once; Redis's own limit depends on the size of a stream's nodes. */
const FEED_TRIM = 10_000;

/** How long a payment may stay unpaid: konbini and boleto vouchers for so long, authorizations for half of it. */
export const UNPAID_MS = 60 * 86_400_000;

const NAMES = {
  /** STREAM per priority: one entry `m <message id>` for each QUEUED or SENDING message. Never trimmed. */
  queue: ":q:",
  /** ZSET message id by due time, epoch ms: SCHEDULED, DEFERRED, UNKNOWN to be resent. */
  due: ":due",
  /** ZSET message id by the time of its next check-back, epoch ms; "+inf" when a person must decide: HELD. */
  held: ":held",
  /**
   * HASH per message, fields below: also its event's idempotency key. Lives until dropped; SENT and CANCELLED for
   * the retention, which is no shorter than the dedup window; so does `c -` alone: rolled back before it was posted.
   */
  message: ":msg:",
  /** STREAM of dead letters and held UNKNOWNs: one entry `m <message id> f <fingerprint>`. Never trimmed. */
  dead: ":dead",
  /** HASH fingerprint -> number of dead letters. */
  deadGroups: ":dead:groups",
  /** HASH fingerprint -> when people were told of it, epoch ms; in the first partition, for all of them. */
  deadTold: ":dead:told",
  /** STRING for what people were told of once: when it happened last, epoch ms. Lives a week; in the first partition. */
  news: ":news:",
  /**
   * LIST of what was said of a payment (domain/notice.ts), JSON, for the message id that its event gives. Lives for the
   * retention, and for UNPAID_MS while nobody said that it is paid.
   */
  notices: ":notices:",
  /** STRING: there may be such notices of unpaid payments in the partition. Lives as long as they do. */
  noticed: ":noticed",
  /** STREAM of transitions, the latest FEED_LENGTH entries: field t, a line each: message id|state|attempt|reason. */
  feed: ":feed",
  /** HASH of counters that only grow: `in:<state>`, `out:<state>`. */
  counts: ":counts",
  /** SET of the paused priorities' ranks. */
  paused: ":paused",
  /**
   * LIST of numbers, oldest first, of the chunks that what was posted is looked up in. A chunk is a STRING, with its
   * number behind this name: a line each, message id|digest of its booking|digest of its recipient. It goes when the
   * last of its messages is gone. (`:copy` behind it: within one script.)
   */
  posted: ":posted",
  /** STRING: the layout, or in other partitions than the first the fence of its version. For ever. layout.ts */
  layout: ":layout",
  /** STRING, in the first partition: a layout that is being introduced. Until it is. */
  layoutNext: ":layout:next",
  /**
   * STRING: the latest time that was seen on Redis's clock, epoch ms, ten seconds old at the most, and how often it was set
   * back. For ever.
   */
  seen: ":seen",
  /**
   * STRING, while what waits is moved back after a clock that was set back: by how much, ms, and when that was
   * found out (clock.lua). `:due` and `:held` behind it: what is still to be moved.
   */
  rewind: ":rewind",
} as const;

/*
 * Fields of a message's hash, short because a million of them wait in memory:
 *   s state · e the event, JSON
 *   c its event's key: rank of the priority, one digit; end of the dedup window, epoch ms, 13; hash of the body, 22;
 *     event id; or "-" alone · g the latest message of the event, where not this one
 *   d due, epoch ms, where it was not due as soon as it was posted
 *   l the timeline, a line each: at|state|attempt|reason · n attempts begun · b attempts begun at the last replay
 *   v those begun when the event was edited last: they carried another mail
 *   q entry id since it was QUEUED last · o "<entry id> <consumer>" of the attempt: its owner, while SENDING
 *   u an attempt ended in UNKNOWN · w times that the booking store was asked in vain
 *   h delay after the commit, ms (while HELD) · k rolled back while SENDING, or later: retention, ms
 *   x id of the dead-letter entry · r reason · f fingerprint · t dead since, epoch ms (while DEAD or held)
 */

export function tagOf(partition: number): string {
  return `{pp:${partition}}`;
}

/** No key has this name, and nobody can know it who would set one by hand. */
const GATE = `:gate:${randomUUID()}`;

/** Two keys of the partition's slot, of which the second never exists: script.ts says what for. */
export function gateOf(tag: string): [first: string, second: string] {
  return [tag, `${tag}${GATE}`];
}

/** CRC16 (XMODEM) of what stands between the braces, modulo 16384: redis.io/docs/reference/cluster-spec, "Hash tags". */
export function slotOf(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag.replace(/^\{(.+)\}$/, "$1"))) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc % 16_384;
}

/** Of all partitions, in their order. */
export function tagsOf(partitions: number): string[] {
  return Array.from({ length: partitions }, (_, partition) => tagOf(partition));
}

export function partitionOf(eventId: string, partitions: number): number {
  if (partitions === 1) return 0;
  return hash("sha1", eventId, "buffer").readUInt32BE(0) % partitions;
}

export const key = {
  queue: (tag: string, rank: number) => `${tag}${NAMES.queue}${PRIORITIES[rank]}`,
  due: (tag: string) => `${tag}${NAMES.due}`,
  held: (tag: string) => `${tag}${NAMES.held}`,
  message: (tag: string, messageId: string) => `${tag}${NAMES.message}${messageId}`,
  dead: (tag: string) => `${tag}${NAMES.dead}`,
  deadGroups: (tag: string) => `${tag}${NAMES.deadGroups}`,
  deadTold: (tag: string) => `${tag}${NAMES.deadTold}`,
  noticed: (tag: string) => `${tag}${NAMES.noticed}`,
  news: (tag: string, name: string) => `${tag}${NAMES.news}${name}`,
  notices: (tag: string, messageId: string) => `${tag}${NAMES.notices}${messageId}`,
  feed: (tag: string) => `${tag}${NAMES.feed}`,
  counts: (tag: string) => `${tag}${NAMES.counts}`,
  paused: (tag: string) => `${tag}${NAMES.paused}`,
  posted: (tag: string) => `${tag}${NAMES.posted}`,
  layout: (tag: string) => `${tag}${NAMES.layout}`,
  layoutNext: (tag: string) => `${tag}${NAMES.layoutNext}`,
  postedChunk: (tag: string, number: string) => `${tag}${NAMES.posted}:${number}`,
};

/** What a message is looked up by, in eight hexadecimal digits: two values with the same ones are told apart later. */
export function digestOf(value: string): string {
  return Bun.hash.xxHash32(value.toLowerCase()).toString(16).padStart(8, "0");
}

const NO_BOOKING = "--------";

/** What an event is listed under, as its digest or what no digest is. */
export function bookingDigest(bookingId: string | undefined): string {
  return bookingId === undefined ? NO_BOOKING : digestOf(bookingId);
}

/** A full chunk of what was posted, in bytes: 300 messages, read at once. */
const CHUNK_LENGTH = 16_384;

/** The same names for the scripts. */
export const LUA_NAMES = `
local TAG, GROUP = KEYS[1], '${GROUP}'
local QUEUE = { ${PRIORITIES.map((name, rank) => `['${rank}'] = TAG .. '${NAMES.queue}${name}'`).join(", ")} }
local DUE, HELD, DEAD = TAG .. '${NAMES.due}', TAG .. '${NAMES.held}', TAG .. '${NAMES.dead}'
local DEAD_GROUPS, DEAD_TOLD = TAG .. '${NAMES.deadGroups}', TAG .. '${NAMES.deadTold}'
local NOTICES, NOTICED, UNPAID_MS = TAG .. '${NAMES.notices}', TAG .. '${NAMES.noticed}', ${UNPAID_MS}
local FEED, COUNTS, PAUSED = TAG .. '${NAMES.feed}', TAG .. '${NAMES.counts}', TAG .. '${NAMES.paused}'
local MESSAGE, POSTED = TAG .. '${NAMES.message}', TAG .. '${NAMES.posted}'
local SEEN, REWIND = TAG .. '${NAMES.seen}', TAG .. '${NAMES.rewind}'
local LAYOUT, LAYOUT_NEXT = TAG .. '${NAMES.layout}', TAG .. '${NAMES.layoutNext}'
local FEED_LENGTH, FEED_TRIM, CHUNK_LENGTH = ${FEED_LENGTH}, ${FEED_TRIM}, ${CHUNK_LENGTH}
`;
