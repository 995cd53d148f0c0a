/*
 * The connections to the relay: each is lent to one mail at a time, and kept for the next one.
 *
 * A relay may allow fewer connections than we would open, and says so only by refusing one. So a connection
 * that cannot be opened while others of ours are open is no fault of the relay: the mail waits for one that
 * comes free, and for a while there are no more than were open. Only when none is open is it told as a failure.
 * Nothing here is fatal.
 */
import { type Timer, time } from "../domain/time.ts";
import { IdleSessions } from "./idle.ts";
import type { Session } from "./session.ts";
import { Turns } from "./turns.ts";
import { limitOf, opened, openWindow, refused, type Window, widened } from "./window.ts";

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

export class Pool {
  readonly #options: PoolOptions;
  readonly #turns: Turns;
  readonly #idle: IdleSessions;
  /** Those that a mail may still travel on: busy or idle. Written by #open, #quit and #openCount. */
  readonly #usable = new Set<Session>();
  /** Settle when a connection that is being opened is open, or refused. Written by #open. */
  readonly #opening = new Set<Promise<unknown>>();
  /** Written by #open and #narrow; the turns read it. */
  #window: Window;
  #widenTimer: Timer | undefined;
  #onDrained: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#window = openWindow(options.maxConnections);
    this.#turns = new Turns(() => limitOf(this.#window, options.maxConnections));
    this.#idle = new IdleSessions(options.idleMs, (session) => void this.#quit(session));
  }

  /** Waits for its turn. Undefined: the pool is closing. @throws SmtpError when no session can be had */
  async take(): Promise<Loan | undefined> {
    if (this.#closing !== undefined || !(await this.#turns.wait(false))) return undefined;
    return this.#fill(false);
  }

  /** Another session in the place of one that is of no use, a fresh one where that can be had. @throws SmtpError */
  async replace(session: Session): Promise<Loan | undefined> {
    await this.#quit(session);
    return this.#fill(true);
  }

  /** The turn stays taken until the session is ready for the next mail, or gone. @param clean it is ready already */
  async giveBack(session: Session, clean: boolean): Promise<void> {
    if ((clean || (await session.reset())) && this.#closing === undefined) this.#idle.put(session);
    else await this.#quit(session);
    this.#endTurn();
  }

  /** Any session that answers: one that is idle, or else a new one. @throws SmtpError */
  async probe(): Promise<void> {
    this.#turns.jump(); // the turns wait for what it finds
    for (let session = this.#idle.take(); session !== undefined; session = this.#idle.take()) {
      if (await session.reset()) return this.giveBack(session, true);
      await this.#quit(session);
    }
    try {
      await this.#quit(await this.#open());
    } finally {
      this.#endTurn();
    }
  }

  /** Nothing is lent any more; resolves when all has come back and is closed. */
  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    const drained = this.#turns.busy === 0 ? undefined : new Promise<void>((resolve) => (this.#onDrained = resolve));
    this.#widenTimer?.cancel();
    this.#turns.refuse();
    await Promise.all([drained, ...this.#idle.takeAll().map((session) => this.#quit(session))]);
  }

  /** For one whose turn it is. The turn is over when this gives nothing. */
  async #fill(preferFresh: boolean): Promise<Loan | undefined> {
    for (let fresh = preferFresh; ; fresh = false) {
      const session = fresh ? undefined : this.#idle.take();
      if (session !== undefined) return { session, fresh: false };
      try {
        return { session: await this.#open(), fresh: true };
      } catch (error) {
        if (this.#closing !== undefined || !(await this.#othersAreOpen())) {
          this.#endTurn();
          throw error;
        }
      }
      this.#narrow();
      // It asks for its next turn before it ends this one, and is the first in the line: no later mail overtakes it.
      const granted = this.#closing === undefined && this.#turns.wait(true);
      this.#endTurn();
      if (!(await granted)) return undefined;
    }
  }

  async #open(): Promise<Session> {
    const attempt = this.#options.open();
    const settled = attempt.then(
      (session) => this.#usable.add(session),
      () => undefined,
    );
    this.#opening.add(settled);
    try {
      await settled;
      const session = await attempt;
      this.#window = opened(this.#window, this.#openCount());
      this.#turns.grant();
      return session;
    } finally {
      this.#opening.delete(settled);
    }
  }

  #narrow(): void {
    this.#window = refused(this.#openCount() + this.#opening.size);
    this.#widenTimer?.cancel();
    this.#widenTimer = time.after(this.#options.retryMs, () => {
      this.#window = widened(this.#window);
      this.#turns.grant();
    });
  }

  /** At the start all are opened at once, and the first refusal may come before the first one is ready. */
  async #othersAreOpen(): Promise<boolean> {
    while (this.#openCount() === 0 && this.#opening.size > 0) await Promise.race(this.#opening);
    return this.#openCount() > 0;
  }

  #openCount(): number {
    for (const session of this.#usable) if (session.ended) this.#usable.delete(session);
    return this.#usable.size;
  }

  #quit(session: Session): Promise<void> {
    this.#usable.delete(session);
    return session.quit();
  }

  #endTurn(): void {
    this.#turns.end();
    if (this.#turns.busy === 0) this.#onDrained?.();
  }
}
