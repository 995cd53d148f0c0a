/*
 * The HTTP service: every route, and the two places where a request ends that no route answered. A handler
 * returns its refusals as values; what it throws is mapped here, once.
 */
import { Hono } from "hono";
import { routePath } from "hono/route";
import { getPath } from "hono/utils/url";
import type { Logger } from "pino";
import type { Ingress } from "../domain/ingress.ts";
import type { DeadLetters, Feed, Messages, Partitioning, Queues } from "../stream/store.ts";
import { createAuth } from "./auth.ts";
import { batchRoutes } from "./batch.ts";
import { deadRoutes } from "./dead.ts";
import { decisionRoutes } from "./decisions.ts";
import { docsRoutes } from "./docs.ts";
import { eventRoutes } from "./events.ts";
import { healthRoutes } from "./health.ts";
import { homeRoutes } from "./home.ts";
import { liveRoutes } from "./live.ts";
import { messageRoutes } from "./messages.ts";
import { openapiRoutes } from "./openapi.ts";
import { partitionRoutes } from "./partitions.ts";
import { problem, problemOf, refuse } from "./problem.ts";
import { queueRoutes } from "./queues.ts";
import type { Refusals } from "./refusals.ts";
import { register } from "./route.ts";
import { stripeRoutes } from "./stripe.ts";
import type { OutcomeDeps } from "./stripeOutcome.ts";

export interface AppDeps {
  ingress: Ingress;
  messages: Messages;
  dead: DeadLetters;
  queues: Queues;
  partitions: Partitioning;
  feed: Feed;
  /** Undefined when an event can be made durable, else why not. */
  ready(): Promise<string | undefined>;
  /** At least one. `whsec_` and base64, or any text. */
  ingestKeys: readonly string[];
  adminToken: string;
  /** Of Stripe's endpoints, `whsec_…`; none: their route is closed. */
  stripeSecrets: readonly string[];
  /** Mail for payments in which no money moves. */
  sendsTestEvents: boolean;
  stripe: Omit<OutcomeDeps, "log">;
  refusals: Refusals;
  log: Logger;
  /** Epoch ms. */
  now(): number;
  /** In the Prometheus text format. */
  metrics(): Promise<string>;
}

/** What a path is read as that cannot be decoded: no route begins like this. */
const MALFORMED = "%";

export function createApp(deps: AppDeps): Hono {
  const app = new Hono({ getPath: pathOf });
  const auth = createAuth(deps.ingestKeys, deps.adminToken, deps.refusals);

  // The payment path runs no middleware: nothing may be put in front of these.
  const routes = [
    ...eventRoutes(deps.ingress),
    ...batchRoutes(deps.ingress, deps.log),
    ...decisionRoutes(auth, deps.ingress),
    ...stripeRoutes(deps),
    ...messageRoutes(deps.messages),
    ...deadRoutes(deps.dead, deps.messages),
    ...queueRoutes(deps.queues),
    ...partitionRoutes(deps.partitions),
    ...liveRoutes(deps.feed),
    ...healthRoutes(deps.ready, deps.metrics),
  ];
  for (const route of routes) register(app, route, auth);
  openapiRoutes(app, routes);
  docsRoutes(app);
  homeRoutes(app, deps);

  app.notFound((c) => {
    if (c.req.path === MALFORMED) {
      return refuse(problem("invalid-request", "The percent-encoding of the path is not valid, or not of UTF-8."));
    }
    const allowed = ["GET", "POST", "DELETE"].filter((method) => app.router.match(method, c.req.path)[0].length > 0);
    if (allowed.length === 0) return refuse(problem("not-found", "There is no such route; /docs has them all."));
    if (allowed.includes(c.req.method)) return refuse(problem("not-found", "There is nothing here."));
    if (allowed[0] === "GET") allowed.splice(1, 0, "HEAD");
    const allow = allowed.join(", ");
    return refuse(problem("method-not-allowed", `The methods of this route: ${allow}.`), { allow });
  });

  app.onError((error, c) => refuse(problemOf(error, `${c.req.method} ${routePath(c)}`, deps.log)));

  return app;
}

/** Hono keeps what it cannot decode as it is: `/v1/events/%ff/rollback` would be of the event whose id is "%ff". */
function pathOf(request: Request): string {
  if (request.url.includes("%")) {
    try {
      decodeURIComponent(new URL(request.url).pathname);
    } catch {
      return MALFORMED;
    }
  }
  return getPath(request);
}
