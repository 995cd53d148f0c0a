/**
 * A JSON Pointer (RFC 6901). Half of a surrogate pair, which is no JSON for many parsers, is replaced.
 * @example pointerOf(["a/b", 0]) // "/a~1b/0"
 */
export function pointerOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part) => `/${String(part).replace(/~/g, "~0").replace(/\//g, "~1")}`);
  return parts.join("").toWellFormed();
}
