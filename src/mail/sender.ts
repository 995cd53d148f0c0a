/* MAIL_FROM, taken apart once, so that nothing downstream parses an address again. */

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
  const name = (match?.[1] ?? match?.[2] ?? "").trim();
  const domain = /^[\x21-\x7e]+@([A-Za-z0-9.-]+)$/.exec(address)?.[1];
  if (domain === undefined || /[<>,;:"@\\]/.test(address.slice(0, -domain.length - 1))) {
    throw new Error(`MAIL_FROM is ${JSON.stringify(from)}, must be one address such as "Shop <shop@example.com>"`);
  }
  return name === "" ? { address, domain } : { address, name, domain };
}
