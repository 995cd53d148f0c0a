/* What the worker asks before it sends: does the booking stand? */

export type BookingStatus =
  | { kind: "paid" }
  | { kind: "pending" }
  | { kind: "not_found" }
  | { kind: "cancelled" }
  /** The store cannot say now: down, too slow, or its answer makes no sense. */
  | { kind: "unavailable"; reason: string };

export interface BookingStore {
  /** Never throws. */
  statusOf(bookingId: string): Promise<BookingStatus>;
  /** It could not tell for several bookings in a row, and has not answered since. */
  isAway?(): boolean;
  close(): Promise<void>;
}
