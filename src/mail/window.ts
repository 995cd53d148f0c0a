/*
 * How many connections a relay lets us have, as far as its refusals tell. Pure.
 * A relay says it by refusing one: then there are no more than were open, until a while has passed without a refusal.
 * From then on one more than ever worked is tried at a time.
 */
export interface Window {
  /** Most that have worked at once, since the last refusal. */
  readonly most: number;
  /** Since the last refusal too little time has passed to try one more. */
  readonly isNarrow: boolean;
}

/** @example limitOf(refused(5), 20) // 5 */
export function limitOf({ most, isNarrow }: Window, maxConnections: number): number {
  return Math.min(maxConnections, isNarrow ? most : most + 1);
}

export function openWindow(maxConnections: number): Window {
  return { most: maxConnections, isNarrow: false };
}

/** @param open how many others are open, or being opened */
export function refused(open: number): Window {
  return { most: Math.max(1, open), isNarrow: true };
}

/** @param open how many are open, with the one that was opened now */
export function opened(window: Window, open: number): Window {
  return open > window.most ? { ...window, most: open } : window;
}

/** The while has passed. */
export function widened(window: Window): Window {
  return { ...window, isNarrow: false };
}
