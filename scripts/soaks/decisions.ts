/*
 * A load of posts, repeated posts, commits and rollbacks, in turns over several services, and its checker: what was
 * answered 202 is found under its id and its event's, by all services; it has one mail, and none after `cancelled`.
 */
import { eventWith } from "../../test/support/event.ts";
import type { FakeRelay } from "../../test/support/relay.ts";
import { INGEST_KEY, type TestService } from "../../test/support/service.ts";
import { until } from "../../test/support/until.ts";

/** One that is killed and started again keeps its address. */
export interface Fleet {
  urls: readonly string[];
  services: () => readonly TestService[];
}

export interface DecisionsLoad {
  /** Ends the load, and prints what came of it. */
  check(settleMs: number): Promise<boolean>;
}

/** What is done with an event, in turns; `later` is some time after it was posted. */
const WAYS = ["plain", "delayed", "repeated", "committed", "plain", "rolled back", "held back", "foreseen"] as const;
type Way = (typeof WAYS)[number];

const OPTIONS: Record<Way, object> = {
  plain: {},
  delayed: { delayMs: 3_000 },
  repeated: { delayMs: 2_000 },
  committed: { hold: true },
  "rolled back": { delayMs: 6_000 },
  "held back": { hold: true },
  foreseen: {},
};
const [LATER_MS, GIVE_UP_MS] = [5_000, 60_000];

interface Answer {
  id: string;
  state: string;
  duplicate: boolean;
  durability: string;
  result: string;
}

interface Fate {
  way: Way;
  id: string;
  answers: string[];
  /** How many mails it may have. */
  mails: [least: number, most: number];
}

export function startDecisions({ urls, services }: Fleet, relay: FakeRelay, perSecond: number): DecisionsLoad {
  const fates = new Map<string, Fate>();
  const faults: string[] = [];
  const inFlight = new Set<Promise<void>>();
  let [turn, over, repeated, slowestMs] = [0, false, 0, 0];

  async function ask(path: string, body?: object): Promise<Answer> {
    const startedAt = performance.now();
    for (;;) {
      const url = urls[turn++ % urls.length];
      try {
        const response = await fetch(`${url}${path}`, {
          method: "POST",
          headers: { authorization: `Bearer ${INGEST_KEY}` },
          ...(body && { body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(10_000),
        });
        const answer = (await response.json()) as Answer;
        if (response.status >= 300) faults.push(`${path}: ${response.status} ${JSON.stringify(answer)}`);
        slowestMs = Math.max(slowestMs, performance.now() - startedAt);
        return answer;
      } catch (error) {
        if (performance.now() - startedAt > GIVE_UP_MS) throw error;
        repeated++;
        await Bun.sleep(50); // it was killed, or is stopped: another one is asked
      }
    }
  }

  async function decide(fate: Fate, eventId: string, decision: "commit" | "rollback"): Promise<void> {
    const { result } = await ask(`/v1/events/${eventId}/${decision}`);
    fate.answers.push(`${decision}: ${result}`);
    if (decision === "commit" && !["committed", "journaled"].includes(result))
      faults.push(`${eventId} commit: ${result}`);
    if (decision === "rollback" && result === "cancelled") fate.mails = [0, 0];
    if (decision === "rollback" && result !== "cancelled") fate.mails = [0, 1];
  }

  async function live(n: number): Promise<void> {
    const way = WAYS[n % WAYS.length] as Way;
    const eventId = `evt_${n}`;
    const event = eventWith(eventId, OPTIONS[way], `customer_${n}@example.com`);
    const fate: Fate = { way, id: "", answers: [], mails: [1, 1] };
    if (way === "foreseen") await decide(fate, eventId, "rollback");
    const { id, state, durability } = await ask("/v1/events", event);
    fate.id = id;
    fate.answers.push(`${state} ${durability}`);
    fates.set(eventId, fate);
    const again = async () => {
      const answer = await ask("/v1/events", event);
      fate.answers.push(`again: ${answer.state} ${answer.durability} ${answer.duplicate}`);
      const differs = answer.id !== id && answer.durability !== "journaled" && durability !== "journaled";
      if (differs || (!answer.duplicate && answer.durability !== "journaled"))
        faults.push(`${eventId}: ${id} again: ${JSON.stringify(answer)}`);
    };
    await Bun.sleep((n * 137) % LATER_MS);
    await again();
    if (way === "committed") await decide(fate, eventId, "commit");
    if (way === "rolled back" || way === "held back") await decide(fate, eventId, "rollback");
    await Bun.sleep((n * 211) % LATER_MS);
    await again();
  }

  const posting = (async () => {
    const startedAt = performance.now();
    for (let n = 0; !over; n++) {
      const one = live(n).catch((error) => void faults.push(`evt_${n}: ${error}`));
      inFlight.add(one);
      void one.finally(() => inFlight.delete(one));
      await Bun.sleep(Math.max(0, startedAt + ((n + 1) * 1_000) / perSecond - performance.now()));
    }
  })();

  const mailsByEvent = () => {
    const mails = new Map<string, number>();
    for (const { envelope } of relay.received) {
      const eventId = `evt_${/\d+/.exec(envelope.to[0] ?? "")?.[0]}`;
      mails.set(eventId, (mails.get(eventId) ?? 0) + 1);
    }
    return mails;
  };

  /** By all services, under each id that a client has. */
  async function look(eventId: string, { id }: Fate): Promise<void> {
    for (const service of services()) {
      for (const path of [`/v1/events/${eventId}`, `/v1/messages/${id}`]) {
        const found = (await (await service.get(path)).json()) as { eventId?: string; state?: string };
        if (found.eventId !== eventId) faults.push(`${path} of ${eventId}: ${JSON.stringify(found)}`);
      }
    }
  }

  return {
    async check(settleMs) {
      over = true;
      await posting;
      await Promise.all(inFlight);
      const owed = [...fates].filter(([, { mails }]) => mails[0] > 0).map(([eventId]) => eventId);
      await until("all mails are there", () => owed.every((id) => mailsByEvent().has(id)), settleMs).catch(() => {});
      await Bun.sleep(LATER_MS); // for a second mail
      for (const [eventId, fate] of fates) await look(eventId, fate);
      const mails = mailsByEvent();
      for (const [eventId, { way, id, answers, mails: allowed }] of fates) {
        const count = mails.get(eventId) ?? 0;
        if (count < allowed[0] || count > allowed[1])
          faults.push(`${eventId} ${id} (${way}) has ${count} mails: ${answers.join(", ")}`);
      }
      console.log(`events ${fates.size}, mails ${relay.received.length}, owed ${owed.length}`);
      console.log(`requests repeated ${repeated}, the slowest answer ${slowestMs.toFixed(0)} ms`);
      console.log(
        `faults ${faults.length}${faults
          .slice(0, 20)
          .map((one) => `\n  ${one}`)
          .join("")}`,
      );
      return faults.length === 0;
    },
  };
}
