/*
 * Bodies, as bytes first: a signature is made over bytes, and a limit counts them. Reading stops at the
 * limit, with or without a Content-Length, so that no client can make us hold more than it.
 */
import { type Problem, problem } from "./problem.ts";

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
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    return refused("The body is not valid JSON.");
  }
}

function tooLarge(maxBytes: number): Read<never> {
  return { ok: false, problem: problem("too-large", `The body may have up to ${maxBytes} bytes.`) };
}

function refused(detail: string): Read<never> {
  return { ok: false, problem: problem("invalid-request", detail) };
}
