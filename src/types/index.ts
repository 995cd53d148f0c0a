/* The types of events: one line each. eventTypes.ts has them by name. */
export { paymentCompleted } from "./payment.completed/event.ts";
export { paymentRefunded } from "./payment.refunded/event.ts";
