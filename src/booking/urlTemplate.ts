/*
 * BOOKING_HTTP_URL: where to ask, with {bookingId} at one place. All of it but this place is fixed in the
 * configuration; an id is percent-encoded down to the unreserved characters of RFC 3986, so no `/`, `?`, `#`, `%`
 * or `..` of an event can lead to another path, query or host.
 */

export interface UrlTemplate {
  /** "shop.example", or "127.0.0.1:8080", as it stands in reasons and logs. */
  label: string;
  /**
   * Undefined when no URL can carry this id at this place: "." and ".." as a whole segment are taken away by every
   * client and server, however they are encoded, and half a surrogate pair has no UTF-8.
   */
  urlFor(bookingId: string): string | undefined;
}

const PLACE = "{bookingId}";

/** Stands for an id while the template is parsed; no URL has it by chance. */
const MARK = "postpaid-booking-id-7c1f";

/**
 * @throws with what is wrong, beginning with BOOKING_HTTP_URL
 * @example parseUrlTemplate("https://shop.example/bookings/{bookingId}/status").urlFor("a/b")
 * // "https://shop.example/bookings/a%2Fb/status"
 */
export function parseUrlTemplate(text: string): UrlTemplate {
  const places = text.split(PLACE).length - 1;
  if (places !== 1) refuse(`has ${places} times ${PLACE}, must have it once`);
  const filled = text.replace(PLACE, MARK);
  const url = URL.canParse(filled) ? new URL(filled) : refuse("is not a URL");
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    refuse(`begins with ${url.protocol}, must be https:// or http://`);
  }
  if (url.username !== "" || url.password !== "") refuse("has a user or a password: the key signs the request instead");
  if (url.hash !== "") refuse("has a #, which is never sent");
  if (!`${url.pathname}${url.search}`.includes(MARK)) refuse(`must have ${PLACE} in its path or query`);
  const [before, after] = url.href.split(MARK) as [string, string];
  return {
    label: url.host,
    urlFor(bookingId) {
      if (!bookingId.isWellFormed()) return undefined;
      const href = before + encoded(bookingId) + after;
      return new URL(href).href === href ? href : undefined;
    },
  };
}

/** encodeURIComponent leaves five characters that a URL parser may still rewrite, `'` in a query for one. */
function encoded(id: string): string {
  return encodeURIComponent(id).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function refuse(problem: string): never {
  throw new Error(`BOOKING_HTTP_URL ${problem}`);
}
