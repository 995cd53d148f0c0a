/* Which files a path names. A file that was deleted or replaced can be read and written on by who has it open. */
import { statSync } from "node:fs";

/** Of a SQLite file: itself, its WAL and the index of that. */
export type Place = [file: string | undefined, wal: string | undefined, index: string | undefined];

/** Device and inode; undefined when it names none. No other file gets these as long as one has this one open. */
export function fileAt(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false, bigint: true });
  return found && `${found.dev}:${found.ino}`;
}

export function placeOf(path: string): Place {
  return [fileAt(path), fileAt(`${path}-wal`), fileAt(`${path}-shm`)];
}
