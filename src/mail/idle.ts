/*
 * Connections without a mail. The one used last is lent first, so that those that are not needed grow old: after
 * `idleMs` they are handed to `onOld`.
 */
import { type Timer, time } from "../domain/time.ts";
import type { Session } from "./session.ts";

export class IdleSessions {
  readonly #idleMs: number;
  readonly #onOld: (session: Session) => void;
  /** The one used last stands last. */
  readonly #sessions: { session: Session; timer: Timer }[] = [];

  constructor(idleMs: number, onOld: (session: Session) => void) {
    this.#idleMs = idleMs;
    this.#onOld = onOld;
  }

  put(session: Session): void {
    const timer = time.after(this.#idleMs, () => {
      const position = this.#sessions.findIndex((each) => each.session === session);
      this.#sessions.splice(position, 1);
      this.#onOld(session);
    });
    this.#sessions.push({ session, timer });
  }

  /** Undefined when there is none that the relay has not closed. */
  take(): Session | undefined {
    for (let last = this.#sessions.pop(); last !== undefined; last = this.#sessions.pop()) {
      last.timer.cancel();
      if (!last.session.ended) return last.session;
    }
    return undefined;
  }

  takeAll(): Session[] {
    return this.#sessions.splice(0).map(({ session, timer }) => {
      timer.cancel();
      return session;
    });
  }
}
