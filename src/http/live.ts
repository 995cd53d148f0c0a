/*
 * GET /v1/live: each transition as it happens (server-sent events). It is answered once it is known where it begins:
 * whoever has the 200 sees all that comes after it, and has an id to reconnect with before anything came. A client
 * that reconnects with the Last-Event-ID it saw misses nothing that the feed still has. One that reads slower than
 * messages move is cut off, and can do the same: what waits for it is bounded.
 */
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { z } from "zod";
import { time } from "../domain/time.ts";
import type { Feed, Transition } from "../stream/store.ts";
import { PRIVATE } from "./answer.ts";
import { iso, reasonOf } from "./messages.ts";
import { type Route, route } from "./route.ts";
import { type TransitionData, transitionData } from "./schemas.ts";

const MAX_WAITING = 10_000;
const RECONNECT_MS = 2_000;
/** While Redis is away the answer does not wait for it: what comes is sent once it is back. */
const BEGIN_MS = 1_000;

export function liveRoutes(feed: Feed): Route[] {
  return [
    route({
      method: "get",
      path: "/v1/live",
      name: "followTransitions",
      access: "admin",
      tag: "queues",
      summary: "Transitions as they happen",
      about:
        "Server-sent events named `transition`: all that comes after the 200, which has an `id` to begin with. A reconnect with `Last-Event-ID` goes on from there.",
      headers: z.object({ "Last-Event-ID": z.string().optional() }),
      answers: { 200: { about: "The `data` of each event", schema: transitionData, type: "text/event-stream" } },
      refuses: [400],
      handle: liveHandler(feed),
    }),
  ];
}

export function liveHandler(feed: Feed, heartbeatMs = 15_000): (c: Context) => Promise<Response> {
  return async (c) => {
    if (c.req.method === "HEAD") return c.body(null, 200, { ...PRIVATE, "content-type": "text/event-stream" });
    const waiting: Transition[] = [];
    let wake = () => {};
    let unfollow = () => {};
    let lagging = false;
    const begun = Promise.withResolvers<string | undefined>();
    const onTransition = (transition: Transition) => {
      lagging ||= waiting.push(transition) > MAX_WAITING;
      if (lagging) unfollow();
      wake();
    };
    unfollow = feed.follow(c.req.header("last-event-id"), onTransition, begun.resolve);
    const timer = time.after(BEGIN_MS, begun.resolve);
    const position = await begun.promise;
    timer.cancel();
    // No proxy may hold events back until it has a buffer full of them.
    c.header("X-Accel-Buffering", "no");
    c.header("X-Content-Type-Options", "nosniff");
    const response = streamSSE(c, async (stream) => {
      stream.onAbort(() => wake());
      try {
        await stream.write(`${position === undefined ? "" : `id: ${position}\n`}retry: ${RECONNECT_MS}\n\n`);
        while (!stream.aborted && !lagging) {
          const next = waiting.shift();
          if (next !== undefined) {
            await stream.writeSSE({ id: next.id, event: "transition", data: JSON.stringify(dataOf(next)) });
            continue;
          }
          const idle = await new Promise<boolean>((resolve) => {
            const timer = time.after(heartbeatMs, () => resolve(true));
            wake = () => {
              timer.cancel();
              resolve(false);
            };
          });
          if (idle) await stream.write(": still here\n\n");
        }
      } finally {
        unfollow();
      }
    });
    response.headers.set("cache-control", PRIVATE["cache-control"]); // the helper says no-cache
    return response;
  };
}

function dataOf({ at, messageId, state, attempt, reason }: Transition): TransitionData {
  return {
    at: iso(at),
    messageId,
    state,
    ...(attempt !== undefined && { attempt }),
    reason: reasonOf({ state, reason }),
  };
}
