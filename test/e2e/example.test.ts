/*
 * The example's booking app, killed at each step of a payment: mail exactly for the bookings that are paid. The
 * service asks the app's own SQLite file, or the app itself.
 */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { openBookings } from "../../scripts/example/bookings.ts";
import { type FakeRelay, startRelay } from "../support/relay.ts";
import { INGEST_KEY, makeDataDir, startService, type TestService } from "../support/service.ts";
import { until } from "../support/until.ts";

const APP = join(import.meta.dir, "../../scripts/example/app.ts");
const BOOKINGS = join(import.meta.dir, "../../scripts/example/bookings.ts");
const STATUS_KEY = "test-status-key";

setDefaultTimeout(60_000);

const folder = makeDataDir();
const databasePath = join(folder.path, "bookings.sqlite");
const env = { CHECK_BACKS: "200ms 300ms 500ms" };

let relay: FakeRelay;
let service: TestService;
const apps: App[] = [];

interface App {
  process: Bun.Subprocess<"ignore", "pipe", "inherit">;
  url: string;
}

beforeAll(async () => {
  relay = await startRelay();
  openBookings(databasePath).close(); // the service may ask before the app has ever run
  service = await startService(join(folder.path, "sql"), {
    ...env,
    SMTP_URL: relay.url,
    BOOKING_STORE: "sql",
    BOOKING_SQL_URL: `sqlite://${databasePath}`,
    BOOKING_SQL_QUERY: "SELECT status FROM bookings WHERE id = ?",
  });
});
afterEach(async () => {
  for (const app of apps.splice(0)) {
    app.process.kill();
    await app.process.exited;
  }
});
afterAll(async () => {
  await service?.stop();
  await relay?.stop();
  folder.remove();
});

async function startApp(postpaid: TestService | { url: string }, port = "0"): Promise<App> {
  const child = Bun.spawn([process.execPath, APP], {
    env: { PORT: port, BOOKINGS_DB: databasePath, POSTPAID_URL: postpaid.url, POSTPAID_KEY: INGEST_KEY, STATUS_KEY },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const first = await child.stdout.getReader().read();
  const app = { process: child, url: (JSON.parse(new TextDecoder().decode(first.value)) as { url: string }).url };
  apps.push(app);
  return app;
}

async function book(app: App, email: string): Promise<string> {
  const response = await fetch(new URL("bookings", app.url), { method: "POST", body: JSON.stringify({ email }) });
  return ((await response.json()) as { id: string }).id;
}

/** The answer's status, or "killed". */
async function pay(app: App, id: string, query = ""): Promise<number | "killed"> {
  try {
    return (await fetch(new URL(`bookings/${id}/pay?${query}`, app.url), { method: "POST" })).status;
  } catch {
    await app.process.exited;
    expect(app.process.signalCode).toBe("SIGKILL");
    return "killed";
  }
}

function statusOf(id: string): string | undefined {
  const bookings = openBookings(databasePath);
  const booking = bookings.find(id);
  bookings.close();
  return booking?.status;
}

function mailsTo(email: string): number {
  return relay.received.filter(({ envelope }) => envelope.to.includes(email)).length;
}

async function stateOf(eventId: string): Promise<string | undefined> {
  return ((await (await service.get(`/v1/events/${eventId}`)).json()) as { state?: string }).state;
}

/** When this has passed, no mail is to come any more. */
async function decided(eventId: string, ending: "held" | "cancelled" | undefined): Promise<void> {
  if (ending === "held") {
    await service.line((line) => line.msg.startsWith("held event waits for a person") && line["eventId"] === eventId);
  }
  expect(await stateOf(eventId)).toBe(ending as string);
}

test("the bookings are opened while another process opens and closes them", async () => {
  const shared = join(folder.path, "shared.sqlite");
  const openOften = `
    const { openBookings } = await import(${JSON.stringify(BOOKINGS)});
    for (let i = 0; i < 300; i++) openBookings(${JSON.stringify(shared)}).close();
  `;
  const processes = [1, 2].map(() =>
    Bun.spawn([process.execPath, "-e", openOften], { stdout: "ignore", stderr: "pipe" }),
  );
  const said = await Promise.all(processes.map(({ stderr }) => new Response(stderr).text()));
  expect(said).toEqual(["", ""]);
});

describe("a payment", () => {
  test("that succeeds sends one mail", async () => {
    const app = await startApp(service);
    const id = await book(app, "ok@example.com");
    expect(await pay(app, id)).toBe(200);
    await relay.until(() => mailsTo("ok@example.com") === 1);
    expect(await pay(app, id)).toBe(409);
    expect([statusOf(id), mailsTo("ok@example.com")]).toEqual(["paid", 1]);
  });

  test("that is declined sends none; the next attempt sends its own", async () => {
    const app = await startApp(service);
    const id = await book(app, "declined@example.com");
    expect(await pay(app, id, "fail=1")).toBe(402);
    await decided(`evt_${id}_1`, "cancelled");
    expect([statusOf(id), mailsTo("declined@example.com")]).toEqual(["pending", 0]);
    expect(await pay(app, id)).toBe(200);
    await relay.until(() => mailsTo("declined@example.com") === 1);
  });

  test("goes through while there is no service to talk to", async () => {
    const app = await startApp({ url: "http://127.0.0.1:1" });
    const id = await book(app, "nobody@example.com");
    expect(await pay(app, id)).toBe(200);
    expect(statusOf(id)).toBe("paid");
  });
});

describe("the app is killed, and the check-back decides", () => {
  const unpaid: [string, "held" | undefined][] = [
    ["kill=before-hold", undefined],
    ["kill=after-hold", "held"],
    ["kill=before-db-commit", "held"],
    ["kill=before-rollback&fail=1", "held"],
  ];
  test.each(unpaid)("%s: no mail; and one when it is paid after all", async (query, ending) => {
    const email = `${query.replace(/\W/g, ".")}@example.com`;
    const app = await startApp(service);
    const id = await book(app, email);
    expect(await pay(app, id, query)).toBe("killed");
    await decided(`evt_${id}_1`, ending);
    expect([statusOf(id), mailsTo(email)]).toEqual(["pending", 0]);

    expect(await pay(await startApp(service), id)).toBe(200);
    await relay.until(() => mailsTo(email) === 1);
    await decided(`evt_${id}_1`, ending && "cancelled");
    expect([statusOf(id), mailsTo(email)]).toEqual(["paid", 1]);
  });

  test.each(["after-db-commit", "after-commit"])("%s: one mail", async (step) => {
    const email = `${step}@example.com`;
    const app = await startApp(service);
    const id = await book(app, email);
    expect(await pay(app, id, `kill=${step}`)).toBe("killed");
    expect(statusOf(id)).toBe("paid");
    await relay.until(() => mailsTo(email) === 1);
    await until("it is sent", async () => (await stateOf(`evt_${id}_1`)) === "sent");
    expect(mailsTo(email)).toBe(1);
  });
});

describe("the store of kind http", () => {
  test("asks the app, once it is back", async () => {
    const first = await startApp({ url: "http://127.0.0.1:1" });
    const { port } = new URL(first.url);
    const asking = await startService(join(folder.path, "http"), {
      ...env,
      SMTP_URL: relay.url,
      BOOKING_STORE: "http",
      BOOKING_HTTP_URL: `${first.url}bookings/{bookingId}/status`,
      BOOKING_HTTP_KEY: STATUS_KEY,
    });
    try {
      first.process.kill();
      await first.process.exited;
      const app = await startApp(asking, port);
      const id = await book(app, "http@example.com");
      expect((await fetch(`${app.url}bookings/${id}/status`)).status).toBe(401);
      expect(await pay(app, id, "kill=after-db-commit")).toBe("killed");
      await startApp(asking, port);
      await relay.until(() => mailsTo("http@example.com") === 1);
    } finally {
      await asking.stop();
    }
  });
});
