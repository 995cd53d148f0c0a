import { expect, test } from "bun:test";
import { supervise } from "../../src/stream/supervise.ts";
import { failOnLeaks } from "../support/leaks.ts";
import { keepLines } from "../support/log.ts";
import { until } from "../support/until.ts";

failOnLeaks();

test("what ends again and again is started after a pause that grows, and a stop waits for none", async () => {
  const { log, lines, waitFor } = keepLines();
  const supervised = supervise("program", () => Bun.spawn(["sh", "-c", "exit 3"]), log);
  await waitFor(({ delayMs }) => delayMs === 1_600);
  expect(lines.map(({ msg, status, delayMs }) => [msg, status, delayMs])).toEqual(
    [100, 200, 400, 800, 1_600].map((delayMs) => ["program ended, starting it again", 3, delayMs]),
  );
  expect(supervised.failures()).toBe(5);
  const stoppedAt = performance.now();
  await supervised.stop(5_000);
  expect(performance.now() - stoppedAt).toBeLessThan(1_400);
});

test("what does not end when it is told to is killed", async () => {
  const { log, lines } = keepLines();
  let said = "";
  let child: Bun.Subprocess<"ignore", "pipe"> | undefined;
  const deaf = () => {
    child = Bun.spawn(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.01; done"], { stdin: "ignore" });
    void child.stdout
      .getReader()
      .read()
      .then(({ value }) => (said = new TextDecoder().decode(value)));
    return child;
  };
  const supervised = supervise("program", deaf, log);
  await until("it hears nothing", () => said !== "");
  const stopped = supervised.stop(100);
  await Promise.race([stopped, Bun.sleep(5_000)]);
  const signal = child?.signalCode;
  child?.kill("SIGKILL"); // so that it disturbs no other test
  expect(signal).toBe("SIGKILL");
  expect(lines).toEqual([]);
});
