/*
 * Following the transitions as they happen. Each follower has a blocking connection for each partition, which on
 * a cluster could not be read together.
 */
import type { Redis } from "ioredis";
import type { State } from "../domain/lifecycle.ts";
import { BLOCK_MS } from "./connect.ts";
import { key, tagOf } from "./keys.ts";
import type { Feed, Transition } from "./store.ts";

const PAGE = 500;
const RETRY_MS = 100;

/** A position is an entry id per partition, joined by commas. */
export function createFeed(openBlocking: () => Redis, partitions: number): Feed {
  const tags = Array.from({ length: partitions }, (_, partition) => tagOf(partition));

  return {
    follow(since, on) {
      const positions = positionsOf(since);
      const readers = tags.map((tag, partition) =>
        startReader(openBlocking(), key.feed(tag), positions[partition] ?? "$", (entryId, fields) => {
          positions[partition] = entryId;
          on(transitionOf(entryId, positions.join(","), fields));
        }),
      );
      return () => {
        for (const stop of readers) stop();
      };
    },
  };

  function positionsOf(since: string | undefined): string[] {
    const given = since?.split(",") ?? [];
    const valid = given.length === partitions && given.every((id) => /^\d{1,16}-\d{1,16}$/.test(id));
    return valid ? given : tags.map(() => "$");
  }
}

/** Goes on from where it was whatever happens to Redis, until the returned function is called. */
function startReader(
  redis: Redis,
  stream: string,
  since: string,
  on: (entryId: string, fields: string[]) => void,
): () => void {
  redis.on("error", () => {}); // it connects again; the follower sees nothing meanwhile
  let position = since;
  let stopped = false;

  async function read(): Promise<void> {
    if (position === "$") position = (await redis.xrevrange(stream, "+", "-", "COUNT", 1))[0]?.[0] ?? "0-0";
    const reply = await redis.xread("COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS", stream, position);
    for (const [id, fields] of reply?.[0]?.[1] ?? []) {
      position = id;
      on(id, fields);
    }
  }

  void (async () => {
    while (!stopped) {
      try {
        await read();
      } catch {
        // A socket that is open at this end only is closed; while it is reconnecting, it is left alone.
        if (!stopped && redis.status === "ready") redis.disconnect(true);
        if (!stopped) await Bun.sleep(RETRY_MS);
      }
    }
  })();
  return () => {
    stopped = true;
    redis.disconnect();
  };
}

function transitionOf(entryId: string, position: string, fields: string[]): Transition {
  const [, messageId = "", , state = "", , attempt = "", , reason = ""] = fields;
  return {
    id: position,
    at: Number(entryId.split("-")[0]),
    messageId,
    state: state as State,
    ...(attempt === "" ? {} : { attempt: Number(attempt) }),
    ...(reason === "" ? {} : { reason }),
  };
}
