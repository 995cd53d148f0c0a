/* Partitions come and go while a worker runs. */
import { expect, test } from "bun:test";
import { partitionOf } from "../../src/stream/keys.ts";
import { LayoutWatch } from "../../src/stream/layoutWatch.ts";
import { changeLayout } from "../../src/stream/relayout.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { openIngress } from "../support/ingress.ts";
import { until } from "../support/until.ts";
import { onPipeline } from "./fixture.ts";

const on = onPipeline("--appendonly", "no");
const cleanups = cleanUpAfterEach();
const RETENTION_MS = 1_000;

test("a new one is served as it comes; one that takes no new events until nothing is left in it; and again when it comes back", async () => {
  const { redis, lines } = on.pipeline;
  const watch = new LayoutWatch(redis, { wanted: 3, assumed: 1, adopts: true, onRefused: () => {}, log: lines.log });
  await watch.start();
  cleanups.push(() => watch.stop());
  const relay = await on.relayWith();
  const ingress = openIngress(redis, {
    partitions: watch.now,
    refreshLayout: (moved) => watch.refresh(moved),
    retentionMs: RETENTION_MS,
    dedupTtlMs: RETENTION_MS,
  });
  await on.pipeline.startWorker(relay.url, { partitions: watch.now, retentionMs: RETENTION_MS });
  let posted = 0;
  const postSome = async () => {
    for (let n = 0; n < 12; n++) await ingress.post(eventWith(`evt_${posted++}`));
    await until("they are mailed", () => relay.received.length === posted);
  };
  await postSome();
  const held = Array.from({ length: 100 }, (_, n) => `held_${n}`).find((id) => partitionOf(id, 3) === 2) as string;
  await ingress.post(eventWith(held, { hold: true }));
  await changeLayout(redis, 1);
  await postSome();
  await changeLayout(redis, 5);
  await postSome(); // in partitions that are new to it
  await changeLayout(redis, 1);
  const left = () => lines.lines.filter(({ msg }) => msg === "the partition is served no more").map(({ tag }) => tag);
  await until("what is empty and forgotten is left", () => left().length === 2);
  expect(left()).toEqual(["{pp:3}", "{pp:4}"]);
  expect(watch.now().earlier.map(({ partitions }) => partitions)).toEqual([3]);
  expect((await ingress.commit(held)).kind).toBe("committed");
  posted++;
  await until("the held one is mailed", () => relay.received.length === posted);
  await until("the rest is left as well", () => left().length === 4, 20_000);
  expect(watch.now().earlier).toEqual([]);
  await changeLayout(redis, 3);
  await postSome();
  expect(new Set(relay.received.map(({ raw }) => /^Message-ID: (.*)$/m.exec(String(raw))?.[1])).size).toBe(posted);
}, 60_000);
