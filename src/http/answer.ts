/* The answers of /v1 that are no problem. Nobody may keep them, or read them as anything but JSON. */

/** Also on problems and on what is streamed. */
export const PRIVATE = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

export function answer(body: unknown, status = 200): Response {
  return Response.json(body, { status, headers: PRIVATE });
}
