/* What the journal keeps: something that was accepted, and that Redis has to take over. */
export interface Entry {
  kind: "post" | "commit" | "rollback";
  eventId: string;
  /** Of a post; else "". */
  bodyHash: string;
  /** The event of a post, JSON; else "". */
  json: string;
  /** Epoch ms. */
  at: number;
}

export interface KeptEntry extends Entry {
  /** Position: larger came later. */
  seq: number;
}
