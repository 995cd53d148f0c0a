/* What the database servers of the tests have in common. */
import { readFileSync } from "node:fs";
import { until } from "./until.ts";

/** On a connection of its own. */
export async function runOn(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const sql = new Bun.SQL(url, { max: 1 });
  try {
    return [...(await sql.unsafe(statement))];
  } finally {
    await sql.close({ timeout: 0 });
  }
}

/** Resolves when the server answers; throws its log when it ends instead. */
export async function startServer(
  name: string,
  command: string[],
  options: { cwd: string; url: string; log: string },
): Promise<Bun.Subprocess> {
  const server = Bun.spawn(command, { cwd: options.cwd, stdout: "ignore", stderr: Bun.file(options.log) });
  const answers = () =>
    runOn(options.url, "SELECT 1").then(
      () => true,
      () => server.exitCode !== null,
    );
  await until(`${name} answers`, answers).catch((error) => {
    server.kill("SIGKILL");
    throw error;
  });
  if (server.exitCode !== null) throw new Error(`${name}: ${readFileSync(options.log, "utf8")}`);
  return server;
}
