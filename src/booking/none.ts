import type { BookingStore } from "./store.ts";

/** No store to ask: the event was posted because the booking is paid, and a rollback says when it is not any more. */
export function createTrustingStore(): BookingStore {
  return {
    statusOf: () => Promise.resolve({ kind: "paid" }),
    close: () => Promise.resolve(),
  };
}
