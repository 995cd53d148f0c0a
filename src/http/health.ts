/* For the machines that watch: alive, able to take an event, and in numbers. */
import type { Hono } from "hono";
import { problem, refuse } from "./problem.ts";

export function healthRoutes(
  app: Hono,
  ready: () => Promise<string | undefined>,
  metrics: () => Promise<string>,
): void {
  app.get("/healthz", () => Response.json({ status: "ok" }));

  app.get("/readyz", async () => {
    const fault = await ready();
    return fault === undefined ? Response.json({ status: "ready" }) : refuse(problem("unavailable", fault));
  });

  app.get("/metrics", async () => {
    const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
    return new Response(await metrics(), { headers });
  });
}
