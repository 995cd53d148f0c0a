/*
 * A booking backend that sends a mail for each payment, and none for a payment that did not happen: also when
 * this process is killed between its own COMMIT and telling postpaid about it.
 *
 *   bun src/main.ts start                                          # postpaid, in one terminal; and here:
 *   POSTPAID_KEY=$(cat data/ingest.key) bun scripts/example/app.ts
 *   curl -d '{"email":"an@example.com"}' localhost:4000/bookings   # { "id": "BK-…", "status": "pending" }
 *   curl -X POST localhost:4000/bookings/BK-…/pay                  # { "id": "BK-…", "status": "paid" }
 *
 * How a payment goes:
 *   1. an attempt begins: it gets a number, and the one before can no longer succeed, nor have a mail
 *   2. the event is posted, held                      withMail
 *   3. the transaction: UPDATE bookings …             its callback
 *   4. the event is committed, or rolled back         withMail
 * Killed before 3 has committed: the booking is pending, and no mail leaves. Killed after that: postpaid asks for
 * the booking's status, reads "paid", and sends the mail. Let it ask in one of two ways:
 *   BOOKING_STORE=sql  BOOKING_SQL_URL=sqlite://bookings.sqlite  BOOKING_SQL_QUERY="SELECT status FROM bookings WHERE id = ?"
 *   BOOKING_STORE=http, with GET /bookings/:id/status of this app
 *
 * To see it fail: `?fail=1` declines the payment; `?kill=<step>` (or KILL_AT=<step>) is kill -9 of this process at
 * before-hold, after-hold, before-db-commit, after-db-commit, after-commit or, with fail, before-rollback.
 *
 * Environment: PORT 4000 · BOOKINGS_DB bookings.sqlite · POSTPAID_URL http://127.0.0.1:3000 · POSTPAID_KEY ·
 * STATUS_KEY (the key that the status is asked with; unset: anybody may ask) · KILL_AT
 */
import { Hono } from "hono";
import { Webhook } from "standardwebhooks";
import { createClient, type PaymentCompleted } from "../../src/client/client.ts"; // yours: from "postpaid/client"
import { type Booking, openBookings } from "./bookings.ts";

const { env } = process;
const bookings = openBookings(env["BOOKINGS_DB"] ?? "bookings.sqlite");
const postpaid = createClient({
  url: env["POSTPAID_URL"] ?? "http://127.0.0.1:3000",
  key: env["POSTPAID_KEY"] ?? "",
  deadlineMs: 3_000, // somebody waits for the answer of /pay
  onUndecided: ({ event, step, transaction, error }) =>
    log("undecided", { eventId: event.id, step, transaction, error }),
});

const app = new Hono();

app.post("/bookings", async (c) => {
  const { email, name = null } = await c.req.json<{ email: string; name?: string }>();
  const trip = { title: "Hà Nội → Sa Pa, sleeper bus", amount: 450_000, currency: "VND" };
  const { id, status } = bookings.create({ ...trip, email, name });
  return c.json({ id, status }, 201);
});

app.post("/bookings/:id/pay", async (c) => {
  const dieAt = (step: string) => {
    if ((c.req.query("kill") ?? env["KILL_AT"]) === step) process.kill(process.pid, "SIGKILL");
  };
  const booking = bookings.beginAttempt(c.req.param("id"));
  if (booking === undefined) return c.json({ error: "there is no such booking that waits for a payment" }, 409);
  await giveUpAttempt(booking.attempt - 1, booking);
  dieAt("before-hold");
  try {
    await postpaid.withMail(eventOf(booking), () => {
      dieAt("after-hold");
      try {
        bookings.pay(booking, () => {
          dieAt("before-db-commit");
          if (c.req.query("fail")) throw new Error("the card was declined");
        });
      } catch (error) {
        dieAt("before-rollback");
        throw error;
      }
      dieAt("after-db-commit");
    });
  } catch (error) {
    return c.json({ id: booking.id, status: "pending", error: (error as Error).message }, 402);
  }
  dieAt("after-commit");
  return c.json({ id: booking.id, status: "paid" });
});

app.post("/bookings/:id/cancel", (c) => {
  const done = bookings.cancel(c.req.param("id"));
  return done ? c.json({ status: "cancelled" }) : c.json({ error: "there is no such booking to cancel" }, 409);
});

app.get("/bookings/:id/status", (c) => {
  if (!mayAsk(c.req.raw)) return c.json({ error: "the signature does not vouch for this request" }, 401);
  const booking = bookings.find(c.req.param("id"));
  return booking === undefined
    ? c.json({ error: "there is no such booking" }, 404)
    : c.json({ status: booking.status });
});

/** One id for one attempt: rolled back, it stays so. */
function eventIdOf({ id }: Booking, attempt: number): string {
  return `evt_${id}_${attempt}`;
}

function eventOf(booking: Booking): PaymentCompleted {
  const { id, attempt, title, amount, currency, email, name } = booking;
  return {
    id: eventIdOf(booking, attempt),
    type: "payment.completed",
    occurredAt: new Date().toISOString(),
    data: {
      booking: { id, title, items: [{ name: "Seat 4A", quantity: 1, amount }] },
      payment: { id: `pay_${id}_${attempt}`, amount, currency, method: "card" },
      customer: { email, locale: "vi", ...(name !== null && { name }) },
    },
  };
}

/** It may have left a held event. Undecided until this booking is paid, it would have a mail of its own. */
async function giveUpAttempt(attempt: number, booking: Booking): Promise<void> {
  if (attempt === 0) return;
  try {
    await postpaid.rollback(eventIdOf(booking, attempt));
  } catch (error) {
    log("an attempt was not rolled back", { eventId: eventIdOf(booking, attempt), error }); // the payment goes on
  }
}

/** postpaid signs what it asks for: its path and query stand for the body that a GET has not. */
function mayAsk({ url, headers }: Request): boolean {
  const key = env["STATUS_KEY"];
  if (key === undefined) return true;
  const { pathname, search } = new URL(url);
  try {
    new Webhook(key, { format: "raw" }).verify(pathname + search, headers.toJSON(), { jsonParse: false });
    return true;
  } catch {
    return false;
  }
}

function log(msg: string, fields: Record<string, unknown>): void {
  const error = fields["error"] instanceof Error ? { error: fields["error"].message } : {};
  console.log(JSON.stringify({ msg, ...fields, ...error }));
}

const server = Bun.serve({ hostname: "127.0.0.1", port: Number(env["PORT"] ?? 4000), fetch: app.fetch });
log("booking app started", { url: server.url.href });
