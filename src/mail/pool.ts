/*
 * The connections to the relay: each is lent to one mail at a time, and kept for the next one.
 *
 * A relay may allow fewer connections than we would open, and says so only by refusing one. So a connection
 * that cannot be opened while others of ours are open is no fault of the relay: the mail waits for one that
 * comes free, and for a while there are no more than were open. Only when none is open is it told as a failure.
 */
import type { SmtpError } from "./classify.ts";
import type { Session } from "./session.ts";

export interface Loan {
  session: Session;
  /** Opened for this mail; else it has carried others, and may have died since. */
  fresh: boolean;
}

export interface PoolOptions {
  /** @throws SmtpError */
  open: () => Promise<Session>;
  maxConnections: number;
  /** How long a connection is kept without a mail; less than relays wait, which is minutes. */
  idleMs: number;
  /** After a refusal, before one connection more than were open then is tried. */
  retryMs: number;
}

export interface Pool {
  /** Waits for its turn. Undefined: the pool is closing. @throws SmtpError when no session can be had */
  take(): Promise<Loan | undefined>;
  /** Another session in the place of one that is of no use, a fresh one where that can be had. */
  replace(session: Session): Promise<Loan | undefined>;
  /** `clean`: nothing is to be ended on it before the next mail. The place stays taken until it is ready, or gone. */
  giveBack(session: Session, clean: boolean): Promise<void>;
  /** Any session that answers: one that is idle, or else a new one. @throws SmtpError */
  probe(): Promise<void>;
  /** Nothing is lent any more; resolves when all has come back and is closed. */
  close(): Promise<void>;
}

export function createPool({ open, maxConnections, idleMs, retryMs }: PoolOptions): Pool {
  /** The last one used is taken first, so that those that are not needed grow old and are closed. */
  const kept: { session: Session; timer: Timer }[] = [];
  /** Those that a mail may still travel on: busy or kept. */
  const usable = new Set<Session>();
  const opening = new Set<Promise<unknown>>();
  const waiting: ((granted: boolean) => void)[] = [];
  let busy = 0;
  let most = maxConnections;
  /** Set after a refusal; until it fires there are no more than `most`, then one more is tried. */
  let growTimer: Timer | undefined;
  let onDrained: (() => void) | undefined;
  let closing: Promise<void> | undefined;

  function grant(): void {
    const limit = Math.min(maxConnections, growTimer === undefined ? most + 1 : most);
    while (busy < limit) {
      const next = waiting.shift();
      if (next === undefined) return;
      busy++;
      next(true);
    }
  }

  /** False: the pool is closing. */
  function takeSlot(first: boolean): Promise<boolean> | boolean {
    if (closing !== undefined) return false;
    return new Promise((resolve) => {
      if (first) waiting.unshift(resolve);
      else waiting.push(resolve);
      grant();
    });
  }

  function freeSlot(): void {
    busy--;
    grant();
    if (busy === 0) onDrained?.();
  }

  function openCount(): number {
    for (const session of usable) if (session.ended) usable.delete(session);
    return usable.size;
  }

  async function openOne(): Promise<Session> {
    const attempt = open();
    const settled = attempt.then(
      (session) => usable.add(session),
      () => undefined,
    );
    opening.add(settled);
    try {
      await settled;
      const session = await attempt;
      most = Math.max(most, openCount());
      grant();
      return session;
    } finally {
      opening.delete(settled);
    }
  }

  function narrow(): void {
    most = Math.max(1, openCount() + opening.size);
    clearTimeout(growTimer);
    growTimer = setTimeout(() => {
      growTimer = undefined;
      grant();
    }, retryMs);
  }

  /** At the start all are opened at once, and the first refusal may come before the first one is ready. */
  async function othersAreOpen(): Promise<boolean> {
    while (openCount() === 0 && opening.size > 0) await Promise.race(opening);
    return openCount() > 0;
  }

  function takeKept(): Session | undefined {
    for (let last = kept.pop(); last !== undefined; last = kept.pop()) {
      clearTimeout(last.timer);
      if (!last.session.ended) return last.session;
    }
    return undefined;
  }

  function keep(session: Session): void {
    const timer = setTimeout(() => {
      kept.splice(
        kept.findIndex((each) => each.session === session),
        1,
      );
      void quit(session);
    }, idleMs);
    kept.push({ session, timer });
  }

  function quit(session: Session): Promise<void> {
    usable.delete(session);
    return session.quit();
  }

  /** For one who has a slot, which is free again when this gives nothing. */
  async function fill(preferFresh: boolean): Promise<Loan | undefined> {
    for (let fresh = preferFresh; ; fresh = false) {
      const session = fresh ? undefined : takeKept();
      if (session !== undefined) return { session, fresh: false };
      try {
        return { session: await openOne(), fresh: true };
      } catch (error) {
        if (closing !== undefined || !(await othersAreOpen())) {
          freeSlot();
          throw error as SmtpError;
        }
      }
      narrow();
      const granted = takeSlot(true);
      freeSlot();
      if (!(await granted)) return undefined;
    }
  }

  async function giveBack(session: Session, clean: boolean): Promise<void> {
    if ((clean || (await session.reset())) && closing === undefined) keep(session);
    else await quit(session);
    freeSlot();
  }

  async function drain(): Promise<void> {
    const drained = busy === 0 ? undefined : new Promise<void>((resolve) => (onDrained = resolve));
    clearTimeout(growTimer);
    for (const refuse of waiting.splice(0)) refuse(false);
    const goodbyes = kept.splice(0).map(({ session, timer }) => {
      clearTimeout(timer);
      return quit(session);
    });
    await Promise.all([drained, ...goodbyes]);
  }

  return {
    async take() {
      return (await takeSlot(false)) ? fill(false) : undefined;
    },
    async replace(session) {
      await quit(session);
      return fill(true);
    },
    giveBack,
    async probe() {
      busy++; // out of turn: the turns wait for what it finds
      for (let session = takeKept(); session !== undefined; session = takeKept()) {
        if (await session.reset()) return giveBack(session, true);
        await quit(session);
      }
      try {
        await quit(await openOne());
      } finally {
        freeSlot();
      }
    },
    close() {
      closing ??= drain();
      return closing;
    },
  };
}
