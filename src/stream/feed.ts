/* Following the transitions as they happen. Each follower has a blocking connection of its own. */
import type { Redis } from "ioredis";
import type { State } from "../domain/lifecycle.ts";
import { BLOCK_MS } from "./connect.ts";
import { key, tagOf } from "./keys.ts";
import type { Feed, Transition } from "./store.ts";

const PAGE = 500;

/** A position is an entry id per partition, joined by commas. */
export function createFeed(openBlocking: () => Redis, partitions: number): Feed {
  const tags = Array.from({ length: partitions }, (_, partition) => tagOf(partition));

  return {
    follow(since, on) {
      const redis = openBlocking();
      redis.on("error", () => {}); // it connects again; the follower just sees nothing meanwhile
      let followed = true;
      void run(redis, positionsOf(since), on, () => followed).catch(() => {});
      return () => {
        followed = false;
        redis.disconnect();
      };
    },
  };

  function positionsOf(since: string | undefined): string[] {
    const given = since?.split(",") ?? [];
    const valid = given.length === partitions && given.every((id) => /^\d{1,16}-\d{1,16}$/.test(id));
    return valid ? given : tags.map(() => "$");
  }

  async function run(redis: Redis, positions: string[], on: (t: Transition) => void, followed: () => boolean) {
    await Promise.all(
      tags.map(async (tag, partition) => {
        if (positions[partition] !== "$") return;
        const [last] = await redis.xrevrange(key.feed(tag), "+", "-", "COUNT", 1);
        positions[partition] = last?.[0] ?? "0-0";
      }),
    );
    while (followed()) {
      const streams = tags.map((tag) => key.feed(tag));
      const reply = await redis.xread("COUNT", PAGE, "BLOCK", BLOCK_MS, "STREAMS", ...streams, ...positions);
      for (const [stream, entries] of reply ?? []) {
        const partition = streams.indexOf(stream);
        for (const [id, fields] of entries) {
          positions[partition] = id;
          on(transitionOf(id, positions.join(","), fields));
        }
      }
    }
  }
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
