/* The table of withMail.ts, line by line, over real sockets. */
import { describe, expect, spyOn, test } from "bun:test";
import { type Client, createClient, PostpaidError, type Undecided } from "../../src/client/client.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import { eventWith } from "../support/event.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { jsonOf, problem, type Received, type Step, startFake } from "./server.ts";

const cleanups = cleanUpAfterEach();
failOnLeaks();

type Route = "hold" | "post" | "commit" | "rollback";

interface Setting {
  client: Client;
  /** What was asked of the service, and "transaction" where that began; repetitions are one. */
  calls: string[];
  undecided: Undecided[];
}

const event = eventWith("evt_1", { priority: "low" });

const DOWN: Step = { status: 503, headers: { "retry-after": "60" } };
const INVALID = problem(400, "The event is not valid");
const UNAUTHORIZED = problem(401, "Credentials are missing or wrong");
const GONE = problem(404, "There is no such thing");
const ROLLED_BACK = problem(409, "The event was rolled back");
const REUSED = problem(422, "The id was used for another event");

async function settingWith(answers: Partial<Record<Route, Step>>): Promise<Setting> {
  const calls: string[] = [];
  const undecided: Undecided[] = [];
  const service = await startFake((request) => {
    const route = routeOf(request);
    if (calls.at(-1) !== route) calls.push(route);
    return answers[route] ?? "ok";
  });
  cleanups.push(() => service.stop());
  const client = createClient({
    url: service.url,
    key: "k",
    timeoutMs: 100,
    deadlineMs: 200,
    onUndecided: (one) => void undecided.push(one),
  });
  return { client, calls, undecided };
}

function routeOf(request: Received): Route {
  const decision = request.path.split("/")[4];
  if (decision === "commit" || decision === "rollback") return decision;
  const { options } = jsonOf(request) as { options?: { hold?: boolean; priority?: string } };
  expect(options?.priority).toBe("low");
  return options?.hold ? "hold" : "post";
}

function shown({ step, transaction, error }: Undecided): string {
  return `${step} ${transaction}: ${(error as PostpaidError).kind}`;
}

describe("a transaction that commits returns its result", () => {
  const table: [string, Partial<Record<Route, Step>>, string, string[]][] = [
    ["and the mail may leave", {}, "hold transaction commit", []],
    ["with the service down", { hold: DOWN, post: DOWN }, "hold transaction post", ["post committed: unavailable"]],
    ["with the service silent", { hold: "hang", post: "hang" }, "hold transaction post", ["post committed: deadline"]],
    ["with a hold that failed: the event is posted", { hold: DOWN }, "hold transaction post", []],
    ["with a key that is wrong for a while", { hold: UNAUTHORIZED }, "hold transaction post", []],
    [
      "with a hold whose answers were lost: it is committed",
      { hold: "reset", post: REUSED },
      "hold transaction post commit",
      [],
    ],
    ["with an event that is refused", { hold: INVALID }, "hold transaction", ["hold committed: invalid"]],
    ["with an id that was used before", { hold: REUSED }, "hold transaction", ["hold committed: conflict"]],
    ["with a commit that fails", { commit: DOWN }, "hold transaction commit", ["commit committed: unavailable"]],
    ["with a commit that hangs", { commit: "hang" }, "hold transaction commit", ["commit committed: deadline"]],
    ["with an event that the service has lost: it is posted", { commit: GONE }, "hold transaction commit post", []],
    [
      "with an event that was rolled back by somebody else",
      { commit: ROLLED_BACK },
      "hold transaction commit",
      ["commit committed: conflict"],
    ],
  ];
  test.each(table)("%s", async (_, answers, expected, reports) => {
    const { client, calls, undecided } = await settingWith(answers);
    const options = { holdDeadlineMs: 150 };
    const result = await client.withMail(event, async () => calls.push("transaction") && "receipt", options);
    expect(result).toBe("receipt");
    expect(calls.join(" ")).toBe(expected);
    expect(undecided.map(shown)).toEqual(reports);
    for (const one of undecided) expect(one.event).toBe(event);
  });
});

describe("a transaction that throws has its error thrown", () => {
  const table: [string, Partial<Record<Route, Step>>, string, string[]][] = [
    ["and the event is rolled back", {}, "hold transaction rollback", []],
    [
      "with a rollback that goes to the journal",
      { rollback: { status: 202, body: { id: "msg_1", eventId: "evt_1", result: "journaled" } } },
      "hold transaction rollback",
      [],
    ],
    ["with a rollback that fails", { rollback: DOWN }, "hold transaction rollback", ["rollback failed: unavailable"]],
    [
      "with a mail that has left",
      { rollback: { status: 200, body: { id: "msg_1", eventId: "evt_1", result: "too_late", state: "sent" } } },
      "hold transaction rollback",
      ["rollback failed: conflict"],
    ],
    ["with a hold that failed, and may have arrived", { hold: "reset" }, "hold transaction rollback", []],
    ["with an event that was refused", { hold: INVALID }, "hold transaction", []],
  ];
  test.each(table)("%s", async (_, answers, expected, reports) => {
    const { client, calls, undecided } = await settingWith(answers);
    const declined = new Error("card declined");
    const run = client.withMail(
      event,
      () => {
        calls.push("transaction");
        throw declined;
      },
      { holdDeadlineMs: 150 },
    );
    expect(await run.catch((error: unknown) => error)).toBe(declined);
    expect(calls.join(" ")).toBe(expected);
    expect(undecided.map(shown)).toEqual(reports);
    const { suppressed } = declined as { suppressed?: unknown };
    expect(suppressed).toBe(undecided[0]?.error);
    expect(Object.keys(declined)).not.toContain("suppressed");
  });

  const odd: [string, unknown][] = [
    ["a string", "declined"],
    ["nothing", undefined],
    ["a frozen error", Object.freeze(new Error("declined"))],
  ];
  test.each(odd)("also when it is %s, and the rollback fails", async (_, thrown) => {
    const { client } = await settingWith({ rollback: DOWN });
    const run = client.withMail(event, () => Promise.reject(thrown));
    expect(
      await run.then(
        () => "returned",
        (error: unknown) => error === thrown,
      ),
    ).toBe(true);
  });
});

describe("a transaction that may have committed", () => {
  const lost = new Error("connection lost in COMMIT");
  const run = (client: Client) =>
    client.withMail(event, () => Promise.reject(lost), {
      holdDeadlineMs: 150,
      mayHaveCommitted: (error) => error === lost,
    });

  test("leaves the event held, for the check-back", async () => {
    const { client, calls, undecided } = await settingWith({});
    expect(await run(client).catch((error: unknown) => error)).toBe(lost);
    expect([calls, undecided]).toEqual([["hold"], []]);
  });

  test("is reported where nothing is held", async () => {
    const { client, calls, undecided } = await settingWith({ hold: DOWN });
    expect(await run(client).catch((error: unknown) => error)).toBe(lost);
    expect([calls, undecided.map(shown)]).toEqual([["hold"], ["hold unknown: unavailable"]]);
  });
});

describe("with proceedWithoutMail: false", () => {
  test.each([
    ["unavailable", DOWN, ["hold", "rollback"]],
    ["invalid", INVALID, ["hold"]],
  ])("a hold that is %s stops the transaction before it began", async (kind, hold, expected) => {
    const { client, calls, undecided } = await settingWith({ hold });
    const transaction = () => calls.push("transaction");
    const run = client.withMail(event, transaction, { proceedWithoutMail: false, holdDeadlineMs: 150 });
    const error: unknown = await run.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(PostpaidError);
    expect((error as PostpaidError).kind).toBe(kind as PostpaidError["kind"]);
    expect([calls, undecided]).toEqual([expected, []]);
  });
});

describe("the mail", () => {
  test("delays the transaction by no more than the hold's deadline", async () => {
    const { client } = await settingWith({ hold: "hang" });
    const startedAt = performance.now();
    const begunAt = await client.withMail(event, () => performance.now(), { holdDeadlineMs: 50 });
    expect(begunAt - startedAt).toBeLessThan(1_800);
  });

  test("breaks no payment when onUndecided throws, nor when there is none", async () => {
    const [warn, error] = [spyOn(console, "warn"), spyOn(console, "error")].map((spy) => spy.mockReturnValue());
    cleanups.push(() => {
      for (const spy of [warn, error]) spy?.mockRestore();
    });
    const options = { url: "http://127.0.0.1:1", key: "k", deadlineMs: 50 };
    const failing = createClient({ ...options, onUndecided: () => Promise.reject(new Error("disk full")) });
    for (const client of [failing, createClient(options)]) {
      expect(await client.withMail(event, () => "receipt", { holdDeadlineMs: 50 })).toBe("receipt");
    }
    expect(error).toHaveBeenCalledTimes(1);
    expect(warn?.mock.calls).toEqual([
      ["postpaid: post of evt_1 failed, the transaction is committed: The service cannot be reached"],
    ]);
  });
});
