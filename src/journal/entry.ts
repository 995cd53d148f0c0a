/* What the journal keeps: something that was accepted, and that Redis has to take over. */
export interface Entry {
  /** `notice`: of a payment; it posts an event, or adds to what is known of one. */
  kind: "post" | "commit" | "rollback" | "notice";
  eventId: string;
  /** Of a post; else "". */
  bodyHash: string;
  /** The event of a post, or the notice, JSON; else "". */
  json: string;
  /** Epoch ms. */
  at: number;
}

/** Else it is a decision, which needs no room. */
export function isAddition({ kind }: Pick<Entry, "kind">): boolean {
  return kind === "post" || kind === "notice";
}

export interface KeptEntry extends Entry {
  /** Position: larger came later. */
  seq: number;
}
