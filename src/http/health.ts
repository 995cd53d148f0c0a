/* For the machines that watch: alive, able to take an event, and in numbers. */
import { z } from "zod";
import { problem, refuse } from "./problem.ts";
import { type Route, route } from "./route.ts";
import { statusReply } from "./schemas.ts";

export function healthRoutes(ready: () => Promise<string | undefined>, metrics: () => Promise<string>): Route[] {
  const common = { method: "get", access: "open", tag: "health" } as const;
  return [
    route({
      ...common,
      path: "/healthz",
      name: "getHealth",
      summary: "The process lives",
      answers: { 200: { about: "It does", schema: statusReply } },
      refuses: [],
      handle: () => Response.json({ status: "ok" }),
    }),
    route({
      ...common,
      path: "/readyz",
      name: "getReadiness",
      summary: "An event can be made durable",
      answers: { 200: { about: "It can", schema: statusReply } },
      refuses: [503],
      async handle() {
        const fault = await ready();
        return fault === undefined ? Response.json({ status: "ready" }) : refuse(problem("unavailable", fault));
      },
    }),
    route({
      ...common,
      path: "/metrics",
      name: "getMetrics",
      summary: "Prometheus text format",
      answers: { 200: { about: "Prometheus text format", schema: z.string(), type: "text/plain" } },
      refuses: [],
      async handle() {
        const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
        return new Response(await metrics(), { headers });
      },
    }),
  ];
}
