/*
 * Which words with dots may name a host. Mail programs make a link of one whose last part is a top-level domain, and
 * there is a new one every month: any word may be one, unless the whole reads like somebody's name.
 */

/** Text as it is read, whatever characters it is written with. */
export function folded(text: string): string {
  return text
    .normalize("NFKC")
    .replace(/\u3002/g, ".")
    .replace(/\p{Default_Ignorable_Code_Point}/gu, "");
}

const DOTTED = /[\p{L}\p{M}\p{N}_'’-]+(?:\.[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N}-]*)+/gu;
const ENDING = /^(?:xn--.+|[\p{L}\p{M}]{2,})$/iu;

/** Nobody is called so. */
const KNOWN_ENDINGS = new Set(
  `com net org info biz edu gov shop store site online app xyz top club live vip win bet casino fun icu pro dev web link
   click asia mobi page blog news cloud tech world life games loan work space website io ai tv cc ws vn uk us eu ru cn
   de fr jp`.split(/\s+/),
);

const TITLES = new Set(
  `dr mr mrs ms mx miss prof st ste sir rev hon jr sr fr br capt col gen lt sgt ing dipl mag med phil nat rer hr herr
   frau mme mlle me sra srta don dott anh chị chi em ông ong bà ba cô chú bác thầy thay ts ths bs gs pgs ks ls cn`.split(
    /\s+/,
  ),
);

/** A capital, alone or with small letters behind it. */
const NAME = /^\p{Lu}[\p{Ll}\p{M}'’]*(?:-\p{Lu}[\p{Ll}\p{M}'’]*)*$/u;
const IN_CAPITALS = /^[\p{Lu}\p{M}]+$/u;
const INITIAL = /^\p{Lu}\p{M}*$/u;

export function isKnownEnding(label: string): boolean {
  return KNOWN_ENDINGS.has(label.toLowerCase());
}

/** The labels of each word in `text` that a mail program may take for a host. */
export function hostsIn(text: string): string[][] {
  return [...text.matchAll(DOTTED)]
    .map(([word]) => word.split("."))
    .filter(([, ...behind]) => ENDING.test(behind.at(-1) ?? "") || behind.some(isKnownEnding));
}

/** "Dr.Nguyen", "J.R.R.TOLKIEN", "Anh.Tuan", "Dr.Vu"; not "promo.example", "Promo.Com". */
export function isOfNames(labels: readonly string[]): boolean {
  if (labels.slice(1).some(isKnownEnding)) return false;
  const last = labels.at(-1) ?? "";
  const before = labels.slice(0, -1);
  const isTitle = (label: string) => TITLES.has(label.toLowerCase()) || INITIAL.test(label);
  if (before.every(isTitle)) return NAME.test(last) || IN_CAPITALS.test(last);
  return before.every((label) => isTitle(label) || NAME.test(label)) && NAME.test(last);
}

/** Each country has two letters: a name may end in one of them, and be linked. */
export function endsInCountry(labels: readonly string[]): boolean {
  return labels.at(-1)?.length === 2;
}
