/*
 * The example's database: one table, and the three things that happen to a booking. postpaid may read it, too:
 * `SELECT status FROM bookings WHERE id = ?` answers paid, pending or cancelled.
 */
import { Database } from "bun:sqlite";

export interface Booking {
  id: string;
  status: "pending" | "paid" | "cancelled";
  /** Attempts to pay begun so far; only the last one can succeed. */
  attempt: number;
  title: string;
  /** Minor units. */
  amount: number;
  currency: string;
  email: string;
  name: string | null;
}

type NewBooking = Pick<Booking, "title" | "amount" | "currency" | "email" | "name">;

export interface Bookings {
  create(booking: NewBooking): Booking;
  find(id: string): Booking | undefined;
  /** Undefined when the booking is not pending. Whatever attempt was under way can no longer succeed. */
  beginAttempt(id: string): Booking | undefined;
  /** `beforeCommit` runs inside the transaction. @throws Error when another attempt began, or was faster */
  pay(booking: Booking, beforeCommit: () => void): void;
  /** False when the booking is not pending. */
  cancel(id: string): boolean;
  close(): void;
}

export function openBookings(path: string): Bookings {
  const db = new Database(path, { create: true, strict: true });
  db.run("PRAGMA busy_timeout = 2000"); // first: who opens or closes the file has it for a moment
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = FULL"); // a payment that was answered is on the disk
  db.run(`CREATE TABLE IF NOT EXISTS bookings (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'paid', 'cancelled')),
    attempt INTEGER NOT NULL DEFAULT 0,
    title TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL, email TEXT NOT NULL, name TEXT
  )`);
  const insert = db.query<Booking, [Record<string, string | number | null>]>(
    "INSERT INTO bookings (id, title, amount, currency, email, name) VALUES ($id, $title, $amount, $currency, $email, $name) RETURNING *",
  );
  const select = db.query<Booking, [string]>("SELECT * FROM bookings WHERE id = ?");
  const begin = db.query<Booking, [string]>(
    "UPDATE bookings SET attempt = attempt + 1 WHERE id = ? AND status = 'pending' RETURNING *",
  );
  const pay = db.query<null, [string, number]>(
    "UPDATE bookings SET status = 'paid' WHERE id = ? AND status = 'pending' AND attempt = ?",
  );
  const cancel = db.query<null, [string]>(
    "UPDATE bookings SET status = 'cancelled' WHERE id = ? AND status = 'pending'",
  );
  const payTransaction = db.transaction((booking: Booking, beforeCommit: () => void) => {
    if (pay.run(booking.id, booking.attempt).changes !== 1) throw new Error("another attempt to pay has taken over");
    beforeCommit();
  });
  return {
    create: (booking) => insert.get({ id: `BK-${crypto.randomUUID()}`, ...booking }) as Booking,
    find: (id) => select.get(id) ?? undefined,
    beginAttempt: (id) => begin.get(id) ?? undefined,
    pay: (booking, beforeCommit) => payTransaction.immediate(booking, beforeCommit),
    cancel: (id) => cancel.run(id).changes === 1,
    close: () => db.close(),
  };
}
