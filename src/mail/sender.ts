/*
 * MAIL_FROM, taken apart once, so that nothing downstream parses an address again. A name that somebody pasted from a
 * header, as encoded words (RFC 2047), is decoded: it is encoded again where a header needs that, and the footer shows
 * it as it is.
 */

export interface Sender {
  address: string;
  name?: string;
  /** Right side of the Message-IDs. */
  domain: string;
}

/**
 * @throws when it is not one address, with or without a name
 * @example parseSender("Sao Việt <ve@example.com>") // { name: "Sao Việt", address: "ve@example.com", domain: "example.com" }
 */
export function parseSender(from: string): Sender {
  if (/\p{Cc}/u.test(from)) throw new Error(`MAIL_FROM is ${JSON.stringify(from)}, must have no control characters`);
  const match = /^\s*(?:"([^"]*)"|([^"<>@,;]*?))\s*<([^<>]*)>\s*$/.exec(from);
  const address = match?.[3] ?? from.trim();
  const name = decodedName((match?.[1] ?? match?.[2] ?? "").trim(), from);
  const domain = /^[\x21-\x7e]+@([A-Za-z0-9.-]+)$/.exec(address)?.[1];
  if (domain === undefined || /[<>,;:"@\\]/.test(address.slice(0, -domain.length - 1))) {
    throw new Error(`MAIL_FROM is ${JSON.stringify(from)}, must be one address such as "Shop <shop@example.com>"`);
  }
  return name === "" ? { address, domain } : { address, name, domain };
}

const ENCODED_WORD = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?\s]*)\?=/gi;
/** RFC 2047 6.2: the blanks between two encoded words are for the folding alone. */
const BETWEEN_WORDS = /(\?=)\s+(?==\?[^?\s]+\?[bq]\?)/gi;

function decodedName(name: string, from: string): string {
  const decoded = decodedWords(name.replace(BETWEEN_WORDS, "$1"));
  if (decoded !== undefined) return decoded.trim();
  throw new Error(
    `MAIL_FROM is ${JSON.stringify(from)}, must have a name that can be decoded (RFC 2047), or is not encoded`,
  );
}

/** Undefined: a word or its charset is not valid, or it hides a control character. */
function decodedWords(text: string): string | undefined {
  try {
    // Some programs split a character between two words of the same charset: their bytes belong together.
    const decoded = text.replace(/(?:=\?[^?\s]+\?[bq]\?[^?\s]*\?=)+/gi, (run) => {
      const words = [...run.matchAll(ENCODED_WORD)];
      if (words.map(([word]) => word).join("") !== run) throw new TypeError("not an encoded word");
      return runsOfCharset(words)
        .map(([charset, bytes]) => decoderOf(charset).decode(bytes))
        .join("");
    });
    return /=\?|\p{Cc}/u.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}

function decoderOf(charset: string): { decode(bytes: Uint8Array): string } {
  return new TextDecoder(charset as "utf-8", { fatal: true });
}

function runsOfCharset(words: RegExpMatchArray[]): [string, Uint8Array][] {
  const runs: [string, Buffer][] = [];
  for (const [, charset = "", encoding = "", content = ""] of words) {
    const bytes = encoding.toLowerCase() === "b" ? fromBase64(content) : fromQ(content);
    const last = runs.at(-1);
    if (last?.[0] === charset.toLowerCase()) last[1] = Buffer.concat([last[1], bytes]);
    else runs.push([charset.toLowerCase(), bytes]);
  }
  return runs;
}

function fromBase64(content: string): Buffer {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(content)) throw new TypeError("not base64");
  return Buffer.from(content, "base64");
}

function fromQ(content: string): Buffer {
  if (/=(?![0-9A-Fa-f]{2})|[^\x21-\x7e]/.test(content)) throw new TypeError("not Q encoding");
  const latin1 = content
    .replace(/_/g, " ")
    .replace(/=(..)/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(latin1, "latin1");
}
