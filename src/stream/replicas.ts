/*
 * A write counts as replicated when MIN_REPLICAS replicas have it: WAIT, on the connection that wrote it.
 *   - WAIT holds up what is sent behind it, so that posts have a connection of their own; it is sent once for all
 *     writes that were answered meanwhile, one at a time.
 *   - It is sent when the write has been answered, and on the same connection: after a reconnect it would count the
 *     replicas of a server that may not have the write. A connection that closes fails the WAIT under way, and with it
 *     all that wait behind it.
 *   - Too few replicas is no error: the write is there, and may be lost in a failover.
 * Redis counts from the connection's latest command on, also one that wrote nothing: a repeated post waits, too.
 */
import type { Redis } from "ioredis";
import type { Unavailable } from "../domain/ingress.ts";
import { OUT_OF_MEMORY, RedisAway } from "./fault.ts";
import { findOwnersAgain, ownerOf } from "./nodes.ts";
import { orAway } from "./script.ts";

/**
 * How long replicas may take, ms. A post may come behind a WAIT that finds too few, and then has its own: both within
 * the ingress's command timeout.
 */
const REPLICAS_TIMEOUT_MS = 500;

export interface Written<T> {
  answer: T;
  /** It is in Redis, and on too few replicas. */
  short?: Short;
}

export interface Short {
  reason: string;
  /** Of the connection: what another one wrote, this one's server may not have. */
  connection: number;
}

/** Runs a command on the server that has a partition's keys. Throws RedisAway. */
export type Write = <T>(tag: string, command: (node: Redis) => Promise<T>) => Promise<Written<T>>;

interface Lane {
  underWay?: Promise<number> | undefined;
  next?: Promise<number> | undefined;
}

/** Out of memory, Redis takes no posts and no notices, and decisions all the same. */
export function refusal(reason: string): Unavailable {
  return { kind: "unavailable", reason, ...(OUT_OF_MEMORY.test(reason) ? { takesDecisions: true } : {}) };
}

export async function orUnavailable<T>(call: () => Promise<Written<T>>): Promise<Written<T> | Unavailable> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof RedisAway) return refusal(error.message);
    throw error;
  }
}

export function unavailable({ reason, connection }: Short): Unavailable {
  return { kind: "unavailable", reason, writtenOver: connection };
}

/** @param least replicas that must have a write; 0 asks for none */
export function createWrite(redis: Redis, least: number): Write {
  const lanes = new WeakMap<Redis, Lane>();

  /** How many replicas have what the connection has been answered so far, or as many as must. */
  function replicasOf(node: Redis): Promise<number> {
    const lane = lanes.get(node) ?? {};
    lanes.set(node, lane);
    const wait = () => {
      lane.next = undefined;
      lane.underWay = orAway(node, () => node.wait(least, REPLICAS_TIMEOUT_MS)).finally(() => {
        lane.underWay = undefined;
      });
      return lane.underWay;
    };
    if (lane.underWay === undefined) return wait();
    // Those behind would only wait as long for the same answer.
    const behind = (count: number) => (count < least ? failedNext(lane, count) : wait());
    lane.next ??= lane.underWay.then(behind, (error) => {
      lane.next = undefined;
      throw error;
    });
    return lane.next;
  }

  return async (tag, command) => {
    if (least === 0) return { answer: await command(redis) };
    try {
      const node = ownerOf(redis, tag);
      const answer = await command(node);
      const connection = numberOf(node);
      const count = await replicasOf(node);
      if (count >= least) return { answer };
      return { answer, short: { reason: `${count} of ${least} replicas have it (MIN_REPLICAS)`, connection } };
    } catch (error) {
      if (error instanceof RedisAway) findOwnersAgain(redis);
      throw error;
    }
  };
}

function failedNext(lane: Lane, count: number): number {
  lane.next = undefined;
  return count;
}

const numbers = new WeakMap<object, number>();
let lastNumber = 0;

/** The same for as long as a connection is not made anew. */
function numberOf({ stream }: Redis): number {
  const number = numbers.get(stream) ?? ++lastNumber;
  numbers.set(stream, number);
  return number;
}
