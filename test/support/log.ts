/* A log that keeps its lines, so that a test can wait for one instead of for a time. */
import { type DestinationStream, type Logger, pino } from "pino";

export interface Lines {
  log: Logger;
  lines: Record<string, unknown>[];
  /** The first line, past or to come, that `wanted` accepts. */
  waitFor(wanted: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
}

const logTo = (destination: DestinationStream) => pino({ level: "debug", base: null }, destination);

/** @param open the log that writes them, where it matters how */
export function keepLines(open: (destination: DestinationStream) => Logger = logTo): Lines {
  const lines: Record<string, unknown>[] = [];
  const waiting: {
    wanted: (line: Record<string, unknown>) => boolean;
    resolve: (line: Record<string, unknown>) => void;
  }[] = [];
  const log = open({
    write(text: string) {
      const line = JSON.parse(text) as Record<string, unknown>;
      lines.push(line);
      for (const one of waiting.filter(({ wanted }) => wanted(line))) {
        waiting.splice(waiting.indexOf(one), 1);
        one.resolve(line);
      }
    },
  });
  return {
    log,
    lines,
    waitFor(wanted) {
      const past = lines.find(wanted);
      return past ? Promise.resolve(past) : new Promise((resolve) => waiting.push({ wanted, resolve }));
    },
  };
}
