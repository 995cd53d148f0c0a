/*
 * Bodies, as bytes first: a signature is made over bytes, and a limit counts them. Reading stops at the
 * limit, with or without a Content-Length, so that no client can make us hold more than it.
 */
import { type Problem, problem } from "./problem.ts";

/** Far more than an event may have (see events.ts), so that one that is too deep spoils no batch. */
const MAX_NESTING = 512;

const [QUOTE, BACKSLASH, OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [34, 92, 91, 93, 123, 125];

export type Read<T> = { ok: true; value: T } | { ok: false; problem: Problem };

export async function readBytes(request: Request, maxBytes: number): Promise<Read<Uint8Array>> {
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

export function decodeText(bytes: Uint8Array): Read<string> {
  try {
    return { ok: true, value: utf8.decode(bytes) };
  } catch {
    return refused("The body is not valid UTF-8.");
  }
}

export function decodeJson(text: string): Read<unknown> {
  if (nestsDeeperThan(MAX_NESTING, text)) return refused(`The body is nested more than ${MAX_NESTING} levels deep.`);
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return refused("The body is not valid JSON.");
  }
}

/** Told from the text, because parsing it is the harm: 8 MiB of brackets keep JSON.parse busy for seconds. */
function nestsDeeperThan(levels: number, text: string): boolean {
  if (text.length <= levels) return false;
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === QUOTE) quoted = !quoted;
    else if (quoted) i += char === BACKSLASH ? 1 : 0;
    else if (char === OPEN_BRACKET || char === OPEN_BRACE) {
      if (++depth > levels) return true;
    } else if (char === CLOSE_BRACKET || char === CLOSE_BRACE) depth--;
  }
  return false;
}

function tooLarge(maxBytes: number): Read<never> {
  return { ok: false, problem: problem("too-large", `The body may have up to ${maxBytes} bytes.`) };
}

function refused(detail: string): Read<never> {
  return { ok: false, problem: problem("invalid-request", detail) };
}
