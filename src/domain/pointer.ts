/** A JSON Pointer (RFC 6901): `pointerOf(["a/b", 0])` is "/a~1b/0". Half of a surrogate pair, which is no JSON for many parsers, is replaced. */
export function pointerOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part) => `/${String(part).replace(/~/g, "~0").replace(/\//g, "~1")}`);
  return parts.join("").toWellFormed();
}
