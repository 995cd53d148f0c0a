/* How much waits where, and the switch that stops a queue's mail from leaving. Admin only. */
import { z } from "zod";
import { PRIORITIES, type Priority } from "../domain/lifecycle.ts";
import type { Queues } from "../stream/store.ts";
import { answer } from "./answer.ts";
import { problem, refuse } from "./problem.ts";
import { type Route, route } from "./route.ts";
import { pausedReply, queuesReply } from "./schemas.ts";

export function queueRoutes(queues: Queues): Route[] {
  return [
    route({
      method: "get",
      path: "/v1/queues",
      name: "getQueues",
      access: "admin",
      tag: "queues",
      summary: "Depths and counts",
      answers: { 200: { about: "Depths and counts", schema: queuesReply } },
      refuses: [503],
      async handle() {
        const [items, states] = await Promise.all([queues.depths(), queues.counts()]);
        return answer({ items, states });
      },
    }),
    toggle("pause", "Pause a queue", (name) => queues.pause(name), true),
    toggle("resume", "Resume a queue", (name) => queues.resume(name), false),
  ];
}

function toggle(
  verb: "pause" | "resume",
  summary: string,
  set: (name: Priority) => Promise<void>,
  paused: boolean,
): Route {
  return route({
    method: "post",
    path: `/v1/queues/:name/${verb}`,
    name: `${verb}Queue`,
    access: "admin",
    tag: "queues",
    summary,
    params: z.object({ name: z.enum(PRIORITIES) }),
    answers: { 200: { about: "As it is now", schema: pausedReply } },
    refuses: [404, 503],
    async handle(c) {
      const name = c.req.param("name");
      if (!isPriority(name)) {
        return refuse(problem("not-found", `There is no such queue. The queues are: ${PRIORITIES.join(", ")}.`));
      }
      await set(name);
      return answer({ name, paused });
    },
  });
}

function isPriority(name: string | undefined): name is Priority {
  return (PRIORITIES as readonly (string | undefined)[]).includes(name);
}
