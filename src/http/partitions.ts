/* How many partitions there are, and how many there shall be. Admin only. */
import { z } from "zod";
import { MAX_PARTITIONS } from "../stream/messageId.ts";
import type { Partitioning } from "../stream/store.ts";
import { answer } from "./answer.ts";
import { type Route, route } from "./route.ts";
import { partitionsReply } from "./schemas.ts";

const partitionsInput = z.strictObject({
  partitions: z
    .int("must be a whole number")
    .min(1, "must be at least 1")
    .max(MAX_PARTITIONS, `must be at most ${MAX_PARTITIONS}`),
});

export function partitionRoutes(partitions: Partitioning): Route[] {
  const common = { path: "/v1/partitions", access: "admin", tag: "queues" } as const;
  return [
    route({
      ...common,
      method: "get",
      name: "getPartitions",
      summary: "Partitions, and what waits in each",
      answers: { 200: { about: "As it is now", schema: partitionsReply } },
      refuses: [503],
      handle: async () => answer(await partitions.standing()),
    }),
    route({
      ...common,
      method: "post",
      name: "changePartitions",
      summary: "Change the number of partitions",
      about:
        "While services and workers run. Messages stay in their partitions until they are done, and are found there; new events go by the new number.",
      json: partitionsInput,
      body: { schema: partitionsInput, example: { partitions: 4 }, required: true },
      answers: { 200: { about: "It has changed", schema: partitionsReply } },
      refuses: [503],
      handle: async (_, { json }) => answer(await partitions.change(json.partitions)),
    }),
  ];
}
