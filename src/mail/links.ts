/*
 * What mail programs make a link of on their own: a scheme, `www.`, an address, a host with a path, and a bare host
 * that may end in a top-level domain, in any script and any width. In foreign text such a word is broken up with word
 * joiners, which nobody sees: a payer's text is never a link of ours. All other text stays byte for byte.
 */
import { endsInCountry, folded, hostsIn, isOfNames } from "./hosts.ts";

const WORD_JOINER = "\u2060";

/** Full stops, colons, slashes and at signs, as each keyboard has them. */
const SEPARATOR = /[.\u2024\u3002\uff0e\uff61:\ufe55\uff1a/\uff0f@\ufe6b\uff20]/g;
const HAS_SEPARATOR = new RegExp(SEPARATOR.source);

const SCHEME =
  /[a-z]:\/|^\W*\/\/|(?:^|[^a-z])(?:https?|hxxps?|ftp|mailto|tel|sms|callto|facetime|sip|skype|whatsapp|webcal|data|file|javascript):\S/i;
const WWW = /(?:^|[^\p{L}\p{N}])www\d{0,3}\./iu;
/** Also a "@handle". */
const ADDRESS = /@[^\s@]/;
const TLD = String.raw`\.(?:xn--[a-z0-9-]+|\p{L}[\p{L}\p{M}]+)(?![\p{L}\p{M}\p{N}_])`;
const HOST_WITH_PATH = new RegExp(
  String.raw`(?:[\p{L}\p{M}\p{N}]${TLD}|\d\.\d{1,3}\.\d{1,3}\.\d{1,3})(?::\d+)?/`,
  "iu",
);
/** "1042.HN" is somebody's number, which is searched for and copied. */
const HOST_AND_NO_NUMBER = /^[^\p{L}\p{N}]*[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*\.[a-z]{2,}[^\p{L}\p{N}]*$/u;

/** Of titles, names and reasons. */
export function unlinked(text: string): string {
  return broken(text, (word) => hostsIn(word).some((labels) => !isOfNames(labels) || endsInCountry(labels)));
}

/** Of ids: a dot in one makes no link yet. */
export function unlinkedId(text: string): string {
  return broken(text, (word) => HOST_WITH_PATH.test(word) || HOST_AND_NO_NUMBER.test(word));
}

function broken(text: string, isHost: (word: string) => boolean): string {
  if (!HAS_SEPARATOR.test(text)) return text;
  return text.replace(/\S+/gu, (word) => {
    const plain = folded(word);
    const isLink =
      SCHEME.test(plain) || WWW.test(plain) || ADDRESS.test(plain) || HOST_WITH_PATH.test(plain) || isHost(plain);
    return isLink ? withJoiners(word) : word;
  });
}

/** On both sides: some programs take the joiner for a letter, so that it must stand at the beginning of each part. */
function withJoiners(word: string): string {
  return word
    .replace(SEPARATOR, (mark, at: number) => {
      const isLast = at === word.length - 1;
      return `${at === 0 || isLast ? "" : WORD_JOINER}${mark}${isLast ? "" : WORD_JOINER}`;
    })
    .replace(/\u2060{2,}/g, WORD_JOINER);
}
