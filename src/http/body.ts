/*
 * Bodies, as bytes first: a signature is made over bytes, and a limit counts them. Reading stops at the
 * limit, with or without a Content-Length, so that no client can make us hold more than it.
 */
import { type Problem, problem } from "./problem.ts";

/** Far more than an event may have (see domain/door/record.ts), so that one that is too deep spoils no batch. */
const MAX_NESTING = 512;

const [QUOTE, COMMA, BACKSLASH] = [34, 44, 92];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [91, 93, 123, 125];

export type Read<T> = { ok: true; value: T } | { ok: false; problem: Problem };

export async function readBytes(request: Request, maxBytes: number): Promise<Read<Uint8Array>> {
  const coding = request.headers.get("content-encoding")?.trim() ?? "";
  if (!/^(?:identity)?$/i.test(coding)) return unsupported(coding);
  const declared = Number(request.headers.get("content-length") ?? Number.NaN);
  if (declared > maxBytes) return tooLarge(maxBytes);
  try {
    if (!(declared >= 0)) return await readStream(request.body, maxBytes);
    const value = await request.bytes();
    return value.byteLength > maxBytes ? tooLarge(maxBytes) : { ok: true, value };
  } catch {
    return refused("The body ended before it was complete."); // the client hung up: nobody reads this
  }
}

async function readStream(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<Read<Uint8Array>> {
  if (body === null) return { ok: true, value: new Uint8Array() };
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { ok: true, value: Buffer.concat(chunks, size) };
    size += value.byteLength;
    if (size > maxBytes) {
      reader.cancel().catch(() => {});
      return tooLarge(maxBytes);
    }
    chunks.push(value);
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** What is read, for the refusal: a batch has lines or elements. */
type What = "body" | "line" | "element";

export function decodeText(bytes: Uint8Array, what: What = "body"): Read<string> {
  try {
    return { ok: true, value: utf8.decode(bytes) };
  } catch {
    return refused(`The ${what} is not valid UTF-8.`);
  }
}

export function decodeJson(text: string, what: What = "body"): Read<unknown> {
  return misfits(text, 0, Number.POSITIVE_INFINITY).length > 0 ? refusedAsDeep(what) : parse(text, what);
}

/**
 * The elements of a JSON array, each on its own: one that is nested too deep, or has more than `maxBytes` as it
 * stands, makes way for `null` before the rest is parsed. @param text begins with a bracket
 */
export function decodeArray(text: string, maxElements: number, maxBytes: number): Read<Read<unknown>[]> {
  const unfit = misfits(text, 1, maxBytes);
  let fit = "";
  let done = 0;
  for (const { start, end } of unfit) {
    fit += `${text.slice(done, start)}null`;
    done = end;
  }
  const array = parse(done === 0 ? text : fit + text.slice(done), "body");
  if (!array.ok) return array;
  const values = array.value as unknown[]; // JSON that begins with a bracket is an array
  if (values.length > maxElements) {
    return { ok: false, problem: problem("too-large", `The array may have up to ${maxElements} elements.`) };
  }
  const elements = values.map((value): Read<unknown> => ({ ok: true, value }));
  for (const { index, isLarge } of unfit) {
    elements[index] = isLarge ? tooLarge(maxBytes, "element") : refusedAsDeep("element");
  }
  return { ok: true, value: elements };
}

function parse(text: string, what: What): Read<unknown> {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return refused(`The ${what} is not valid JSON.`);
  }
}

interface Misfit {
  index: number;
  start: number;
  end: number;
  /** Else it is nested too deep. */
  isLarge: boolean;
}

/**
 * Where a value is nested too deep or too large: the text itself (level 0), or elements of the array that it is
 * (level 1). Told from the text, because parsing it is the harm: 8 MiB of brackets keep JSON.parse busy for seconds.
 */
function misfits(text: string, level: 0 | 1, maxBytes: number): Misfit[] {
  const found: Misfit[] = [];
  if (text.length <= MAX_NESTING) return found;
  let [index, start, depth, deepest] = [0, 0, 0, 0];
  let quoted = false;
  const endValue = (end: number) => {
    const isLarge = end - start > maxBytes / 3 && bytesOf(text.slice(start, end)) > maxBytes;
    if (isLarge || deepest > level + MAX_NESTING) found.push({ index, start, end, isLarge });
    deepest = 0;
    index++;
    start = end + 1;
  };
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === QUOTE) quoted = !quoted;
    else if (quoted) i += char === BACKSLASH ? 1 : 0;
    else if (char === OPEN_BRACKET || char === OPEN_BRACE) {
      if (++depth > deepest) deepest = depth;
      if (depth === 1 && level === 1) start = i + 1;
    } else if (char === CLOSE_BRACKET || char === CLOSE_BRACE) {
      if (depth-- === level) endValue(i);
    } else if (char === COMMA && depth === level) endValue(i);
  }
  endValue(text.length);
  return found;
}

function unsupported(coding: string): Read<never> {
  const detail = `Content-Encoding is ${coding.slice(0, 80)}: send the body as it is, without this header.`;
  return { ok: false, problem: problem("unsupported-coding", detail) };
}

/** Without the space around it. */
function bytesOf(text: string): number {
  return Buffer.byteLength(text.trim());
}

export function tooLarge(maxBytes: number, what: What = "body"): Read<never> {
  return { ok: false, problem: problem("too-large", `The ${what} may have up to ${maxBytes} bytes.`) };
}

function refusedAsDeep(what: What): Read<never> {
  return refused(`The ${what} is nested more than ${MAX_NESTING} levels deep.`);
}

function refused(detail: string): Read<never> {
  return { ok: false, problem: problem("invalid-request", detail) };
}
