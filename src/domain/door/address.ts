/*
 * A mailbox in one form: an addr-spec of ASCII (RFC 5321 4.1.2), its domain in A-labels and small letters (UTS #46), its
 * local part as it was written, in quotes only where it needs them: with blanks, or with dots in a row or at an end,
 * which Japanese providers gave out. What people write around one address is taken off.
 *
 * Refused is what no relay without SMTPUTF8 (RFC 6531) could be told, and what does not name one mailbox.
 */
import { domainToASCII } from "node:url";

export type ReadAddress =
  | { ok: true; address: string /** Where more than the case of the domain differs. */; changed: boolean }
  | { ok: false; why: string };

const MAX_LOCAL = 64;
const MAX_ADDRESS = 254;

/** Nearly all come so. */
const NORMAL =
  /^(?=.{3,254}$)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ATOMS = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const ATOMS_WITH_STRAY_DOTS = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+$/;
const QUOTED = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])+"$/;
const DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** In a domain that UTS #46 has to map: ASCII that a host name has, and all that is not ASCII. */
const MAPPABLE = /^[A-Za-z0-9.\u0080-\uffff-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what is not ASCII
const NOT_ASCII = /[^\u0000-\u007f]/;
/** What is copied along unseen, from a chat or a document. */
const UNSEEN = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]/g;
/** As a Japanese keyboard writes ASCII. */
const FULL_WIDTH = /[\uff01-\uff5e]/g;

const NOT_ONE = "must be one e-mail address such as an@example.com";

/** @example readAddress("An <tran..an@bücher.example>") // { ok: true, address: '"tran..an"@xn--bcher-kva.example', … } */
export function readAddress(given: string): ReadAddress {
  if (NORMAL.test(given)) return { ok: true, address: given, changed: false };
  if (given.length > 4 * MAX_ADDRESS) return { ok: false, why: `has more than ${MAX_ADDRESS} bytes` };
  const text = given.replace(UNSEEN, "").trim();
  const bare = withoutAround(text).replace(FULL_WIDTH, (c) => String.fromCharCode(c.charCodeAt(0) - 0xfee0));
  const at = atOf(bare);
  if (at <= 0 || at === bare.length - 1) return { ok: false, why: NOT_ONE };
  const local = localOf(bare.slice(0, at).trimEnd());
  const domain = domainOf(bare.slice(at + 1).trimStart());
  if (!local.ok) return local;
  if (!domain.ok) return domain;
  const address = `${local.value}@${domain.value}`;
  if (address.length > MAX_ADDRESS) return { ok: false, why: `has more than ${MAX_ADDRESS} bytes` };
  return { ok: true, address, changed: address !== withSmallDomain(given.trim()) };
}

function withSmallDomain(text: string): string {
  const at = text.lastIndexOf("@");
  return text.slice(0, at) + text.slice(at).toLowerCase();
}

/** Without a name, brackets, `mailto:`, or the sign of a list's or a sentence's end, where one address is left. */
function withoutAround(text: string): string {
  const named = /^(.*?)<([^<>]*)>[\s,;.]*$/s.exec(text);
  if (named === null) return text.replace(/^mailto:/i, "").replace(/[\s,;]+$/, "");
  const [, phrase = "", inner = ""] = named;
  const outside = phrase.replace(/"(?:[^"\\]|\\.)*"/g, "").trim();
  const namesAnother = /[@<>]/.test(outside) && outside !== inner.trim();
  return namesAnother ? text : inner.trim().replace(/^mailto:/i, "");
}

/** The first @ that is not quoted: no domain has another one. */
function atOf(text: string): number {
  const quoted = /^"(?:[^"\\]|\\.)*"\s*(?=@)/.exec(text)?.[0].length ?? 0;
  return text.indexOf("@", quoted);
}

type Part = { ok: true; value: string } | { ok: false; why: string };

function localOf(text: string): Part {
  if (NOT_ASCII.test(text)) {
    return { ok: false, why: "has characters beyond ASCII before the @, which no relay without SMTPUTF8 takes" };
  }
  const isQuoted = QUOTED.test(text);
  if (!isQuoted && !ATOMS_WITH_STRAY_DOTS.test(text)) return { ok: false, why: NOT_ONE };
  const content = isQuoted ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
  // No SMTP library lets them into an envelope, as a path ends at the ">" for many a relay.
  if (/[<>]/.test(content)) return { ok: false, why: "has < or > before the @, with which no mail can be sent" };
  const value = ATOMS.test(content) ? content : `"${content.replace(/["\\]/g, "\\$&")}"`;
  if (value.length > MAX_LOCAL) return { ok: false, why: `has more than ${MAX_LOCAL} bytes before the @` };
  return { ok: true, value };
}

function domainOf(text: string): Part {
  const rooted = text.replace(/[.\u3002\uff0e\uff61]$/, "");
  const isMapped = NOT_ASCII.test(rooted);
  // A host that ends in a number would be read as an IPv4 address: the label behind it prevents that.
  const mapped = isMapped && MAPPABLE.test(rooted) ? domainToASCII(`${rooted}.x`).slice(0, -2) : "";
  const domain = isMapped ? mapped : rooted.toLowerCase();
  if (domain.length <= MAX_ADDRESS - 1 && DOMAIN.test(domain)) return { ok: true, value: domain };
  return {
    ok: false,
    why: isMapped ? "has a domain that the rules for names beyond ASCII (UTS #46) do not allow" : NOT_ONE,
  };
}
