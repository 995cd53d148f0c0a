/* How much waits where, and the switch that stops a queue's mail from leaving. Admin only. */
import type { Context, Hono } from "hono";
import { PRIORITIES, type Priority } from "../domain/lifecycle.ts";
import type { Queues } from "../stream/store.ts";
import { answer } from "./answer.ts";
import { type Auth, requireAdmin } from "./auth.ts";
import { noQuery } from "./input.ts";
import { problem, refuse } from "./problem.ts";

export function queueRoutes(app: Hono, auth: Auth, queues: Queues): void {
  const admin = requireAdmin(auth);

  app.get("/v1/queues", admin, async () => {
    const [items, states] = await Promise.all([queues.depths(), queues.counts()]);
    return answer({ items, states });
  });

  app.post("/v1/queues/:name/pause", admin, noQuery, (c) => set(c, true));
  app.post("/v1/queues/:name/resume", admin, noQuery, (c) => set(c, false));

  async function set(c: Context, paused: boolean): Promise<Response> {
    const name = c.req.param("name");
    if (!isPriority(name)) {
      return refuse(problem("not-found", `There is no such queue. The queues are: ${PRIORITIES.join(", ")}.`));
    }
    await (paused ? queues.pause(name) : queues.resume(name));
    return answer({ name, paused });
  }
}

function isPriority(name: string | undefined): name is Priority {
  return (PRIORITIES as readonly (string | undefined)[]).includes(name);
}
