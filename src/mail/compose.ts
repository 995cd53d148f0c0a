/*
 * A mail as the bytes that go over the wire (RFC 5322, RFC 2045). Our mails have one shape, a text and
 * an HTML part, so they are written directly: nodemailer's MailComposer, which can do everything, takes
 * more than ten times the CPU, and composing was the largest part of sending.
 * Every line is ASCII and short whatever the mail says, so no relay needs 8BITMIME or SMTPUTF8 for it.
 */
import type { Mail } from "./mailer.ts";
import type { Sender } from "./sender.ts";

/** Quoted-printable never contains "=_", so this can stand in no part (RFC 2045 6.7). */
const BOUNDARY = "=_postpaid";

/** @throws when an address or the Message-ID would break out of its header */
export function compose(mail: Mail, sender: Sender, date: Date): Buffer {
  const head = [
    `From: ${mailbox(sender)}`,
    `To: ${mailbox(mail.to)}`,
    `Subject: ${headerText(mail.subject)}`,
    `Message-ID: <${token(mail.messageIdHeader)}>`,
    `Date: ${date.toUTCString().replace("GMT", "+0000")}`,
    "MIME-Version: 1.0",
    "Auto-Submitted: auto-generated", // RFC 3834: no vacation notice in reply
    // The same for Exchange. "All" would suppress its reports of a mail that could not be delivered, too.
    "X-Auto-Response-Suppress: OOF, AutoReply",
    `Content-Language: ${token(mail.language)}`,
    `X-Postpaid-Message: ${token(mail.messageIdHeader.split("@", 1)[0] ?? "")}`,
    `Content-Type: multipart/alternative; boundary="${BOUNDARY}"`,
    "",
  ].join("\r\n");
  return Buffer.concat([
    Buffer.from(`${head}\r\n${partHead("plain")}`),
    quotedPrintable(mail.text),
    Buffer.from(`\r\n${partHead("html")}`),
    quotedPrintable(mail.html),
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ]);
}

function partHead(subtype: "plain" | "html"): string {
  return `--${BOUNDARY}\r\nContent-Type: text/${subtype}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n`;
}

function token(value: string): string {
  if (!/^[\x21-\x7e]+$/.test(value) || /[<>]/.test(value))
    throw new Error(`${JSON.stringify(value)} cannot stand in a header`);
  return value;
}

/** The local part may be quoted, with blanks in it (RFC 5322 3.2.4). */
function addrSpec(address: string): string {
  const quoted = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])+"(?=@)/.exec(address)?.[0] ?? "";
  return quoted + token(address.slice(quoted.length));
}

function mailbox({ name, address }: { name?: string; address: string }): string {
  if (name === undefined) return addrSpec(address);
  const encoded = headerText(name);
  if (encoded !== name) return `${encoded}\r\n <${addrSpec(address)}>`;
  return `"${name.replace(/["\\]/g, "\\$&")}" <${addrSpec(address)}>`;
}

/** Bytes in an encoded word, so that its line keeps to 76 characters beside the longest header name. */
const WORD_BYTES = 39;

/** Short printable ASCII as it is, all else as encoded words that split no character (RFC 2047). */
function headerText(text: string): string {
  if (/^[\x20-\x7e]{0,60}$/.test(text) && !text.includes("=?")) return text;
  const words: string[] = [];
  let word = "";
  let bytes = 0;
  for (const character of text) {
    const size = Buffer.byteLength(character);
    if (bytes + size > WORD_BYTES) {
      words.push(word);
      word = "";
      bytes = 0;
    }
    word += character;
    bytes += size;
  }
  words.push(word);
  return words.map((each) => `=?utf-8?B?${Buffer.from(each).toString("base64")}?=`).join("\r\n ");
}

const [TAB, LF, CR, SPACE, EQUALS, TILDE] = [0x09, 0x0a, 0x0d, 0x20, 0x3d, 0x7e];
const HEX = Buffer.from("0123456789ABCDEF");

/** RFC 2045 6.7: lines of at most 76 characters, CRLF between them, no white space before a line's end. */
function quotedPrintable(text: string): Buffer {
  const source = Buffer.from(text);
  // Three bytes for each one, and three for a soft break in each line of 75.
  const target = Buffer.allocUnsafe(Math.ceil(source.length * 3 * (1 + 3 / 72)) + 3);
  let at = 0;
  let column = 0;
  for (let i = 0; i < source.length; i++) {
    const byte = source[i] as number;
    if (byte === CR) continue;
    if (byte === LF) {
      at = target.writeUInt16BE(0x0d0a, at);
      column = 0;
      continue;
    }
    const next = source[i + 1] ?? LF;
    const plain =
      byte === SPACE || byte === TAB ? next !== LF && next !== CR : byte > SPACE && byte <= TILDE && byte !== EQUALS;
    const width = plain ? 1 : 3;
    if (column + width > 75) {
      target[at++] = EQUALS;
      at = target.writeUInt16BE(0x0d0a, at);
      column = 0;
    }
    if (plain) target[at++] = byte;
    else {
      target[at++] = EQUALS;
      target[at++] = HEX[byte >> 4] as number;
      target[at++] = HEX[byte & 15] as number;
    }
    column += width;
  }
  return target.subarray(0, at);
}
