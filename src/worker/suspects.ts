/*
 * A relay may close on one message alone, whatever it says to others and to a probe. Where it did so three times in a
 * row, the message is to blame from then on: that tells nothing of the relay, and holds nothing back.
 */
const MAX_FAULTS_IN_A_ROW = 3;
/** Messages whose faults are counted; the one that had none for longest is forgotten first. */
const MAX_COUNTED = 10_000;

export interface Suspects {
  /** The relay failed in the middle of this message. True: once too often, it is the message's own failure. */
  blames(messageId: string): boolean;
  /** Something else became of the message. */
  clears(messageId: string): void;
}

export function createSuspects(): Suspects {
  /** By message id, in the order of the last fault. */
  const faults = new Map<string, number>();
  return {
    blames(messageId) {
      const inARow = (faults.get(messageId) ?? 0) + 1;
      faults.delete(messageId);
      faults.set(messageId, inARow);
      if (faults.size > MAX_COUNTED) faults.delete(faults.keys().next().value as string);
      return inARow > MAX_FAULTS_IN_A_ROW;
    },
    clears(messageId) {
      faults.delete(messageId);
    },
  };
}
