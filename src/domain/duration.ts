const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of "250ms", "30s", "5m", "1.5h" or "1d"; undefined when it is none of these, or no whole number of them. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)$/.exec(text);
  if (match === null) return undefined;
  const exact = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  const value = Math.round(exact);
  return Number.isSafeInteger(value) && Math.abs(exact - value) < 1e-6 ? value : undefined;
}

/** The shortest exact spelling: 90000 is "90s", 120000 is "2m". */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"] as const) {
    if (ms > 0 && ms % UNIT_MS[unit] === 0) return `${ms / UNIT_MS[unit]}${unit}`;
  }
  return `${ms}ms`;
}
