import type { EventType } from "./eventType.ts";
import * as builtIn from "./index.ts";

/** By the name that a producer writes. */
export type EventTypes = ReadonlyMap<string, EventType>;

export const EVENT_TYPES: EventTypes = new Map(Object.values(builtIn).map((type) => [type.name, type]));
