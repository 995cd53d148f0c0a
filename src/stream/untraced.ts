/*
 * Bun's TracingChannel has no `hasSubscribers`, and ioredis takes that for "yes": it would publish each command
 * to nobody. Node has the property (nodejs.org/api/diagnostics_channel.html), so this is a no-op there.
 */
import { tracingChannel } from "node:diagnostics_channel";

const prototype = Object.getPrototypeOf(tracingChannel("postpaid"));
if (!("hasSubscribers" in prototype)) Object.defineProperty(prototype, "hasSubscribers", { get: () => false });
