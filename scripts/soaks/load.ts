/*
 * The load of a soak, and its checker: posts at a steady rate, some of them due at once and some later, each twentieth
 * rolled back at once. A post that got no answer is repeated with the same id, as a producer does. Meanwhile messages that
 * were accepted are looked up. In the end each event that was accepted and not rolled back has one mail, no other mail was
 * sent, and each message is found.
 */
import { eventWith } from "../../test/support/event.ts";
import type { FakeRelay, ReceivedMail } from "../../test/support/relay.ts";
import { INGEST_KEY, type TestService } from "../../test/support/service.ts";

const ROLL_BACK_EACH = 20;
/** The events take turns. */
const DELAYS_MS = [0, 0, 3_000];
const GIVE_UP_MS = 60_000;
/** Posts for one look-up. */
const LOOK_UP_EACH = 5;
const [BATCH, LOOK_UPS_AT_ONCE] = [500, 50];

export interface Load {
  /** Posts events that wait so long; each twentieth is rolled back in the course of `run`. */
  wait(count: number, delayMs: number): Promise<void>;
  /** Posts for so long, and goes on meanwhile; `finish` waits for the last answers. */
  run(forMs: number): Promise<void>;
  finish(): Promise<void>;
  /** Requests that got no answer, and were repeated. */
  repeated(): number;
  /** Prints what came of it; resolves with whether all is well. Stops the service when the mails are there. */
  check(settleMs: number): Promise<boolean>;
}

/** @param service the one that runs now */
export function createLoad(port: number, perSecond: number, relay: FakeRelay, service: () => TestService): Load {
  /** By message id: what the 202 said. */
  const accepted = new Map<string, string>();
  const ids: string[] = [];
  const decided = new Map<string, string>();
  const cancelled = new Set<string>();
  /** Rolled back while their attempt was under way: a mail may come of it, and none need to. */
  const inFlightThen = new Set<string>();
  /** Epoch ms of the answer: a journaled rollback wins over what no worker has begun to send. */
  const journaledAt = new Map<string, number>();
  const timesMs: number[] = [];
  const inFlight = new Set<Promise<void>>();
  const mailed = new Map<string, number>();
  /** Status of a look-up -> how many. */
  const lookedUp = new Map<number, number>();
  /** Events that wait and are to be rolled back, with their messages. */
  const toRollBack: { eventId: string; id: string }[] = [];
  let [repeated, next, read] = [0, 0, 0];

  async function lookUp(id: string): Promise<number> {
    const headers = { authorization: `Bearer ${INGEST_KEY}` };
    const response = await fetch(`http://127.0.0.1:${port}/v1/messages/${id}`, { headers }).catch(() => undefined);
    await response?.arrayBuffer();
    return response?.status ?? 0;
  }

  async function rollBack(eventId: string, id: string): Promise<void> {
    const { result = "" } = await ask<Record<string, string>>(`/v1/events/${eventId}/rollback`);
    decided.set(id, `rollback: ${result}`);
    if (result === "cancelled") cancelled.add(id);
    if (result === "in_flight") inFlightThen.add(id);
    if (result === "journaled") journaledAt.set(id, Date.now());
  }

  /** The answer to a request that is repeated until there is one. */
  async function ask<T>(path: string, body?: unknown): Promise<T> {
    const deadline = performance.now() + GIVE_UP_MS;
    for (;;) {
      const startedAt = performance.now();
      try {
        const response = await fetch(`http://127.0.0.1:${port}${path}`, {
          method: "POST",
          headers: { authorization: `Bearer ${INGEST_KEY}` },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        });
        const answer = (await response.json()) as T;
        if (!response.ok) {
          const log = service().lines.filter(({ level }) => Number(level) >= 40);
          const last = log.slice(-10).map((one) => JSON.stringify(one));
          throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}\n${last.join("\n")}`);
        }
        if (body !== undefined && !Array.isArray(body)) timesMs.push(performance.now() - startedAt);
        return answer;
      } catch (error) {
        // The service was killed, or is starting.
        if (performance.now() > deadline || String(error).startsWith("Error: /v1")) throw error;
        repeated++;
        await Bun.sleep(50);
      }
    }
  }

  async function postOne(): Promise<void> {
    const n = next++;
    const delayMs = DELAYS_MS[n % DELAYS_MS.length] ?? 0;
    const posted = await ask<Record<string, string>>("/v1/events", eventWith(`evt_${n}`, { delayMs }));
    const { id = "", durability = "" } = posted;
    accepted.set(id, durability);
    ids.push(id);
    if (n % LOOK_UP_EACH === 0) {
      const status = await lookUp(ids[Math.floor(Math.random() * ids.length)] ?? id);
      lookedUp.set(status, (lookedUp.get(status) ?? 0) + 1);
    }
    if (n % ROLL_BACK_EACH !== 0) return;
    await rollBack(`evt_${n}`, id);
    const waiting = toRollBack.shift();
    if (waiting !== undefined) await rollBack(waiting.eventId, waiting.id);
  }

  /** Those that are not found. */
  async function lost(): Promise<string[]> {
    const [left, missing] = [[...ids], [] as string[]];
    const look = async () => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) if ((await lookUp(id)) !== 200) missing.push(id);
    };
    await Promise.all(Array.from({ length: LOOK_UPS_AT_ONCE }, look));
    return missing;
  }

  function readMails(): void {
    for (; read < relay.received.length; read++) {
      const { raw, at } = relay.received[read] as ReceivedMail;
      const id = /^Message-ID: <(.+)@/m.exec(String(raw))?.[1] ?? "none";
      mailed.set(id, (mailed.get(id) ?? 0) + 1);
      if (at < (journaledAt.get(id) ?? 0)) journaledAt.delete(id);
    }
  }

  const countBy = (words: Iterable<string>): string => {
    const counts = new Map<string, number>();
    for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
    return [...counts].map(([word, count]) => `${count} ${word}`).join(", ") || "none";
  };

  return {
    async wait(count, delayMs) {
      for (let from = 0; from < count; from += BATCH) {
        const numbers = Array.from({ length: Math.min(BATCH, count - from) }, (_, i) => from + i);
        const events = numbers.map((n) => eventWith(`evt_waiting_${n}`, { delayMs }));
        const { results } = await ask<{ results: Record<string, string>[] }>("/v1/events/batch", events);
        for (const [i, { id = "", durability = "" }] of results.entries()) {
          accepted.set(id, durability);
          ids.push(id);
          if ((from + i) % ROLL_BACK_EACH === 0) toRollBack.push({ eventId: `evt_waiting_${from + i}`, id });
        }
      }
    },
    async run(forMs) {
      const startedAt = performance.now();
      for (let n = 0; performance.now() - startedAt < forMs; n++) {
        const one = postOne().finally(() => inFlight.delete(one));
        inFlight.add(one);
        await Bun.sleep(Math.max(0, startedAt + ((n + 1) * 1_000) / perSecond - performance.now()));
      }
    },
    async finish() {
      await Promise.all(inFlight);
    },
    repeated: () => repeated,
    async check(settleMs) {
      readMails();
      for (const id of journaledAt.keys()) cancelled.add(id);
      const mayBe = new Set([...accepted.keys()].filter((id) => !cancelled.has(id)));
      const wanted = new Set([...mayBe].filter((id) => !inFlightThen.has(id)));
      const deadline = performance.now() + settleMs;
      while ([...wanted].some((id) => !mailed.has(id)) && performance.now() < deadline) {
        await Bun.sleep(100);
        readMails();
      }
      const notFound = await lost();
      await service().stop();
      readMails();
      const missing = [...wanted].filter((id) => !mailed.has(id));
      const twice = [...mailed].filter(([, count]) => count > 1).map(([id]) => id);
      const unwanted = [...mailed.keys()].filter((id) => !mayBe.has(id));
      const of = (ids: string[]) => `${ids.length} (${countBy(ids.map((id) => accepted.get(id) ?? "unknown"))})`;
      timesMs.sort((a, b) => a - b);
      const percentile = (p: number) => (timesMs[Math.floor(timesMs.length * p)] ?? 0).toFixed(1);
      console.log(`posts ${accepted.size}: ${countBy(accepted.values())}; requests repeated: ${repeated}`);
      console.log(
        `a post took ${percentile(0.5)} ms at p50, ${percentile(0.99)} at p99, ${percentile(0.99999)} at most`,
      );
      console.log(
        `rolled back: ${cancelled.size}, while in flight: ${inFlightThen.size}; mails: ${read} for ${wanted.size} events that stand`,
      );
      console.log(`missing ${of(missing)}, sent twice ${of(twice)}, sent for nothing ${of(unwanted)}`);
      const answers = [...lookedUp].map(([status, count]) => `${count} × ${status || "no answer"}`).join(", ");
      console.log(`looked up meanwhile: ${answers || "none"}; in the end not found ${of(notFound)}`);
      for (const id of [...missing, ...twice, ...unwanted, ...notFound].slice(0, 10))
        console.log(id, decided.get(id) ?? "");
      return missing.length + twice.length + unwanted.length + notFound.length + (lookedUp.get(404) ?? 0) === 0;
    },
  };
}
