/* GET /: how things stand, in numbers alone. It is open to whoever reaches the port, so it names nobody. */
import type { Hono } from "hono";
import { html } from "hono/html";
import { STATES } from "../domain/lifecycle.ts";
import { RedisAway } from "../stream/fault.ts";
import type { DeadGroup, DeadLetters, QueueDepth, Queues } from "../stream/store.ts";

type Counts = Awaited<ReturnType<Queues["counts"]>>;

interface Standing {
  items: QueueDepth[];
  counts: Counts;
  groups: DeadGroup[];
}

interface HomeDeps {
  queues: Queues;
  dead: DeadLetters;
  ready(): Promise<string | undefined>;
  now(): number;
}

const HEADERS = {
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  "cache-control": "no-store",
};

export function homeRoutes(app: Hono, deps: HomeDeps): void {
  app.get("/", async (c) => {
    const [fault, standing] = await Promise.all([deps.ready(), read(deps)]);
    return c.html(page(fault, standing, new Date(deps.now()).toISOString()), 200, HEADERS);
  });
}

/** Undefined while Redis is away: the page says so. It is no fault of the page's, and events may be taken in. */
async function read({ queues, dead }: HomeDeps): Promise<Standing | undefined> {
  try {
    const [items, counts, groups] = await Promise.all([queues.depths(), queues.counts(), dead.groups()]);
    return { items, counts, groups };
  } catch (error) {
    if (error instanceof RedisAway) return undefined;
    throw error;
  }
}

function page(fault: string | undefined, standing: Standing | undefined, asOf: string) {
  return html`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>postpaid</title>
    <style>
      :root { color-scheme: light dark; --line: light-dark(#ddd, #3a3a3a); --dim: light-dark(#666, #999); --bad: light-dark(#b00020, #ff7a85) }
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
      h1 { margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem } p { color: var(--dim) }
      table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
      th, td { text-align: right; padding: .3rem .5rem; border-bottom: 1px solid var(--line); font-weight: normal }
      th:first-child, td:first-child { text-align: left } thead th { color: var(--dim) }
      .bad { color: var(--bad) } nav a { margin-right: 1rem }
    </style>
  </head>
  <body>
    <h1>postpaid</h1>
    ${fault === undefined ? html`<p>Ready: events are taken in.</p>` : html`<p class="bad">Not ready: ${fault}</p>`}
    <nav><a href="docs">API</a><a href="openapi.json">openapi.json</a><a href="metrics">metrics</a></nav>
    ${standing === undefined ? html`<p class="bad">Redis is away: nothing can be counted now.</p>` : tables(standing)}
    <p>As of <time datetime="${asOf}">${asOf}</time>.</p>
  </body>
</html>`;
}

function tables({ items, counts, groups }: Standing) {
  return html`
    <h2>Queues</h2>
    <table>
      <thead><tr><th>Queue</th><th>Waiting</th><th>Sending</th><th></th></tr></thead>
      <tbody>${items.map(
        ({ name, queued, sending, paused }) =>
          html`<tr><td>${name}</td><td>${queued}</td><td>${sending}</td><td>${paused ? "paused" : ""}</td></tr>`,
      )}</tbody>
    </table>
    <h2>Messages</h2>
    <table>
      <thead><tr><th>State</th><th>Now</th><th>Ever</th></tr></thead>
      <tbody>${STATES.map(
        (state) => html`<tr><td>${state}</td><td>${counts[state].now}</td><td>${counts[state].total}</td></tr>`,
      )}</tbody>
    </table>
    <h2>Dead letters by cause</h2>
    ${groups.length === 0 ? html`<p>None.</p>` : deadTable(groups)}`;
}

function deadTable(groups: DeadGroup[]) {
  return html`<table>
      <thead><tr><th>Fingerprint</th><th>Dead</th></tr></thead>
      <tbody>${groups.map(({ fingerprint, count }) => html`<tr><td><code>${fingerprint}</code></td><td>${count}</td></tr>`)}</tbody>
    </table>`;
}
