/* What the notices of a payment make together. */
import { describe, expect, test } from "bun:test";
import { lossesOf, type Notice } from "../../src/domain/notice.ts";
import { understand } from "../../src/types/understand.ts";
import { captureNotice, sessionNotice } from "../support/notice.ts";

function eventOf(...notices: Notice[]) {
  const understood = understand(notices);
  if (understood.kind !== "event") throw new Error(JSON.stringify(understood));
  return understood.event;
}

describe("a payment", () => {
  test("is what the session says of the booking and the customer, and what the capture says of the money", () => {
    const both = [sessionNotice("pi_1"), captureNotice("pi_1")];
    for (const notices of [both, both.toReversed()]) {
      expect(eventOf(...notices)).toEqual({
        id: "stripe_pi_1",
        type: "payment.completed",
        occurredAt: "2026-11-24T09:30:00.000Z",
        data: {
          booking: { id: "BK pi_1", title: "Sleeper bus", startsAt: "2026-12-01T21:30:00+07:00" },
          payment: { id: "pi_1", amount: 300_000, currency: "VND", method: "card" },
          customer: { email: "an@example.com", name: "Nguyễn Văn An", locale: "vi" },
        },
      });
    }
  });

  test("is unpaid until somebody says that it is paid", () => {
    expect(understand([sessionNotice("pi_1"), sessionNotice("pi_1")])).toEqual({ kind: "unpaid" });
    expect(understand([])).toEqual({ kind: "unpaid" });
  });

  test("keeps the money of the first notice that has any", () => {
    const unreadable = captureNotice("pi_1", { paid: { currency: "VND" } });
    expect(understand([unreadable])).toMatchObject({ kind: "unmailable", lack: "no_amount" });
    const later = captureNotice("pi_1", { paid: { amount: 5, currency: "USD" } });
    expect(eventOf(unreadable, captureNotice("pi_1"), later).data.payment).toMatchObject({ amount: 300_000 });
  });

  test("needs an address that mail can be sent to, from any of its notices", () => {
    const nowhere = captureNotice("pi_1", { addresses: [] });
    const wrong = captureNotice("pi_1", { addresses: ["an@@example.com", " "] });
    expect(understand([nowhere])).toMatchObject({ kind: "unmailable", lack: "no_address" });
    expect(understand([nowhere, wrong])).toMatchObject({ kind: "unmailable", lack: "bad_address" });
    expect(eventOf(nowhere, wrong, captureNotice("pi_1")).data.customer.email).toBe("billing@example.com");
    expect(eventOf(nowhere, sessionNotice("pi_1")).data.customer.email).toBe("an@example.com");
    const half = sessionNotice("pi_1", { addresses: ["an@"] });
    expect(eventOf(half, captureNotice("pi_1")).data.customer.email).toBe("billing@example.com");
  });

  test("has the title of any notice before a description", () => {
    const untitled = sessionNotice("pi_1", { titles: [] });
    expect(eventOf(untitled, captureNotice("pi_1")).data.booking.title).toBe("Charge for a bus");
    expect(eventOf(untitled, captureNotice("pi_1", { titles: ["Bus"] })).data.booking.title).toBe("Bus");
  });

  test("of test mode says so, and no other one does", () => {
    expect(eventOf(captureNotice("pi_1", { isTest: true })).data.payment["livemode"]).toBe(false);
    expect(eventOf(captureNotice("pi_1")).data.payment).not.toHaveProperty("livemode");
  });
});

test("a loss is what was left out or cut, and not what was brought into another form", () => {
  const event = eventOf(
    captureNotice("pi_1", {
      addresses: ["an@bücher.example"],
      locales: ["vi_VN"],
      startsAt: ["tomorrow"],
      titles: ["x".repeat(201)],
    }),
  );
  expect(event.notes).toHaveLength(4);
  expect(lossesOf(event).map(({ pointer }) => pointer)).toEqual(["/data/booking/title", "/data/booking/startsAt"]);
});
