/*
 * Which names a mail may greet with. Whoever fills in a form can write to a stranger's address, and our greeting would
 * carry the message: a name that has a URL, a host or an address in it, however disguised, is no name. People do have
 * dots in their names: "J.R.R. Tolkien", "Dr.Nguyen", "Anh.Tuan".
 */
import { folded, hostsIn, isKnownEnding, isOfNames } from "./hosts.ts";

const SIGNS_OF_A_LINK = [
  /\bh(?:tt|xx)ps?\b|:\s*\/|\/\/|\b(?:ftp|mailto|tel|sms|javascript)\s*:/i,
  /\bwww\d{0,3}\b/i,
  /[^\s@]\s?@\s?[^\s@]/u,
  /[[({<]\s*(?:\.|dot)\s*[\])}>]/i, // promo[.]example, promo (dot) example
  /\b\d{1,3}(?:\.\d{1,3}){3}\b/,
  /[\p{L}\p{N}]\.[\p{L}\p{N}-]{2,}(?::\d+)?\//u,
];

/** A name that carries no link in any disguise. */
export function isName(given: string): boolean {
  const name = folded(given);
  if (SIGNS_OF_A_LINK.some((sign) => sign.test(name))) return false;
  const [, spelled] = /\bdot\s+(\p{L}+)/iu.exec(name) ?? [];
  if (spelled !== undefined && isKnownEnding(spelled)) return false;
  // "promo .example" and "promo . example"
  return hostsIn(name.replace(/\s+\.\s*(?=\p{L})/gu, ".")).every(isOfNames);
}
