/*
 * What a mail shows in one place, in the two forms that it has: text, for the text part and the subject, and HTML.
 * Handlebars inserts a value that has `toHTML` by that in HTML, and by `toString` in text.
 */
import Handlebars from "handlebars";

export interface Shown {
  toString(): string;
  toHTML(): string;
}

type Values = Readonly<Record<string, unknown>>;

/** A text, a placeholder's name, or a part that may be left out, with what stands in its place then. */
type Piece = { text: string; html: string } | { name: string } | { part: Piece[]; other: Piece[] };

/** As HTML, whatever it is. */
export function toHtml(value: unknown): string {
  return Handlebars.escapeExpression(value as string);
}

/**
 * A phrase with its placeholders filled in. A part in brackets, `[ for {title}]`, is left out where one of its
 * placeholders has no value; `[{amount}|money]` has another part in its place then.
 * @param values what `{name}` in the phrase stands for
 * @throws when a placeholder outside of brackets has no value: half a sentence is no mail
 */
export function fillIn(phrase: string, values: Values): Shown {
  const pieces = chosen(piecesOf(phrase), values);
  for (const piece of pieces) {
    if ("name" in piece && values[piece.name] == null) throw new Error(`no value for {${piece.name}} in "${phrase}"`);
  }
  const joined = (show: (piece: Piece) => string) => pieces.reduce((text, piece) => text + show(piece), "");
  return {
    toString: () =>
      joined((piece) => ("name" in piece ? String(values[piece.name]) : "text" in piece ? piece.text : "")),
    toHTML: () => joined((piece) => ("name" in piece ? toHtml(values[piece.name]) : "html" in piece ? piece.html : "")),
  };
}

function chosen(pieces: readonly Piece[], values: Values): Piece[] {
  const isMissing = (piece: Piece) => "name" in piece && values[piece.name] == null;
  return pieces.flatMap((piece) => {
    if (!("part" in piece)) return piece;
    return piece.part.some(isMissing) ? piece.other : piece.part;
  });
}

const GROUP = /\[([^\]|{]*\{[^\]|]*)(?:\|([^\]]*))?\]/;
const PLACEHOLDER = /\{(\w+)\}/;

/** Wordings are few and never change: each phrase is taken apart once. */
const known = new Map<string, Piece[]>();

function piecesOf(phrase: string): Piece[] {
  let pieces = known.get(phrase);
  if (pieces === undefined) {
    // A split has what is between, and both captures of each group.
    const parts = phrase.split(GROUP);
    pieces = parts.flatMap((part = "", i): Piece[] => {
      if (i % 3 === 0) return withPlaceholders(part);
      return i % 3 === 1 ? [{ part: withPlaceholders(part), other: withPlaceholders(parts[i + 1] ?? "") }] : [];
    });
    known.set(phrase, pieces);
  }
  return pieces;
}

function withPlaceholders(text: string): Piece[] {
  return text
    .split(PLACEHOLDER)
    .map((part, i): Piece => (i % 2 === 1 ? { name: part } : { text: part, html: toHtml(part) }))
    .filter((piece) => !("text" in piece) || piece.text !== "");
}
