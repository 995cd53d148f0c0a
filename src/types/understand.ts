/* The event that all notices of a payment make together. Each field has candidates, and the first usable one counts. */
import { readAddress } from "../domain/door/address.ts";
import { MAX_ID_LENGTH } from "../domain/door/identifier.ts";
import { canonicalLocale } from "../domain/door/locale.ts";
import { cleanLine, isLonger } from "../domain/door/text.ts";
import type { Lack, Notice, Understood } from "../domain/notice.ts";
import { parseEvent } from "./parse.ts";
import { type PaymentCompleted, paymentCompleted } from "./payment.completed/event.ts";

/** @param notices of one payment, in the order they came */
export function understand(notices: readonly Notice[]): Understood {
  const told = notices.find(({ paid }) => paid?.amount !== undefined) ?? notices.find(({ paid }) => paid !== undefined);
  if (told?.paid === undefined) return { kind: "unpaid" };
  const { amount, currency, method, at } = told.paid;
  if (amount === undefined || currency === undefined) return unmailable("no_amount", "it has no amount");
  const best = notices.toSorted((a, b) => Number(b.isFirstHand) - Number(a.isFirstHand));
  const all = (field: Candidates) => best.flatMap((notice) => notice[field]).filter((text) => text.trim() !== "");

  const addresses = all("addresses");
  const email = addresses.find((one) => readAddress(one).ok);
  if (addresses.length === 0) return unmailable("no_address", "it has no e-mail address");
  if (email === undefined) return unmailable("bad_address", "its e-mail address is not one to send mail to");
  const parsed = parseEvent({
    id: told.eventId,
    type: paymentCompleted.name,
    occurredAt: at,
    data: {
      booking: {
        id: usable(all("bookingIds"), isBookingId),
        title: usable([...all("titles"), ...all("descriptions")], isSeen),
        startsAt: all("startsAt")[0],
      },
      payment: { id: told.paymentId, amount, currency, method, ...(told.isTest ? { livemode: false } : {}) },
      customer: {
        email,
        name: usable(all("names"), isSeen),
        locale: usable(
          all("locales").filter((one) => one.trim() !== "auto"),
          (one) => canonicalLocale(one.trim()) !== undefined,
        ),
      },
    },
  });
  if (parsed.ok) return { kind: "event", event: parsed.event as PaymentCompleted };
  return unmailable("no_amount", `not valid: ${parsed.problems.map(({ pointer }) => pointer).join(", ")}`);
}

type Candidates = "addresses" | "names" | "locales" | "bookingIds" | "titles" | "descriptions" | "startsAt";

/** The first usable one; where none is, the first: the door says what is wrong with it. */
function usable(texts: readonly string[], isUsable: (text: string) => boolean): string | undefined {
  return texts.find(isUsable) ?? texts[0];
}

function isBookingId(text: string): boolean {
  return isSeen(text) && !isLonger(cleanLine(text), MAX_ID_LENGTH);
}

function isSeen(text: string): boolean {
  return cleanLine(text) !== "";
}

function unmailable(lack: Lack, reason: string): Understood {
  return { kind: "unmailable", lack, reason };
}
