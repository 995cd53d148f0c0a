import { describe, expect, test } from "bun:test";
import { awayOf, awayReason, SlotMoves } from "../../src/stream/fault.ts";
import { slotOf } from "../../src/stream/keys.ts";

function coded(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}

describe("an error that says that Redis is away", () => {
  // As Redis 7.0 and ioredis 6.0 say it.
  const away: [string, Error][] = [
    ["the disk is full", new Error("MISCONF Errors writing to the AOF file: No space left on device")],
    [
      "the disk is full, told by a script",
      new Error("MISCONF Errors writing to the AOF file: No space left on device script: 5f1, on @user_script:1."),
    ],
    ["a replica", new Error("READONLY You can't write against a read only replica.")],
    ["a replica, told by a script", new Error("READONLY Can not run script with write flag on readonly replica.")],
    ["no replicas", new Error("NOREPLICAS Not enough good replicas to write.")],
    ["no memory", new Error("OOM command not allowed when used memory > 'maxmemory'.")],
    [
      "no memory, told by a script",
      new Error("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"),
    ],
    ["loading", new Error("LOADING Redis is loading the dataset in memory")],
    [
      "busy with a script",
      new Error("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
    ],
    ["no cluster", new Error("CLUSTERDOWN Hash slot not served")],
    ["no primary", new Error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")],
    ["a slot on the move", new Error("TRYAGAIN Multiple keys request during rehashing of slot")],
    [
      "a slot on the move for too long",
      new Error("Too many Cluster redirections. Last error: ReplyError: MOVED 866 127.0.0.1:7001"),
    ],
    ["no credentials", new Error("NOAUTH Authentication required.")],
    ["bad credentials", new Error("WRONGPASS invalid username-password pair or user is disabled.")],
    ["no permission", new Error("NOPERM this user has no permissions to run the 'evalsha' command")],
    ["too many clients", new Error("ERR max number of clients reached")],
    ["closed", new Error("Connection is closed.")],
    ["not connected", new Error("Stream isn't writeable and enableOfflineQueue options is false")],
    ["no answer", new Error("Command timed out")],
    [
      "flushed",
      Object.assign(
        new Error(
          'Reached the max retries per request limit (which is 0). Refer to "maxRetriesPerRequest" option for details.',
        ),
        { name: "MaxRetriesPerRequestError" },
      ),
    ],
    ["refused", coded("connect ECONNREFUSED 127.0.0.1:6379", "ECONNREFUSED")],
    ["refused, with an empty message, as an AggregateError has it", coded("", "ECONNREFUSED")],
    ["reset", coded("read ECONNRESET", "ECONNRESET")],
    ["a broken pipe", coded("write EPIPE", "EPIPE")],
    ["no socket file", coded("connect ENOENT /data/redis/redis.sock", "ENOENT")],
    ["no name", coded("getaddrinfo ENOTFOUND redis", "ENOTFOUND")],
    ["no name for now", coded("getaddrinfo EAI_AGAIN redis", "EAI_AGAIN")],
    ["no route", coded("connect EHOSTUNREACH 10.0.0.1:6379", "EHOSTUNREACH")],
    ["no network", coded("connect ENETUNREACH 10.0.0.1:6379", "ENETUNREACH")],
    ["no connection in time", coded("connect ETIMEDOUT", "ETIMEDOUT")],
    ["no sentinel", new Error("All sentinels are unreachable and retry is disabled. Last error: connect ECONNREFUSED")],
    ["no slots", new Error("Failed to refresh slots cache.")],
    ["no nodes", new Error("None of startup nodes is available")],
    ["no cluster yet", new Error("Cluster isn't ready and enableOfflineQueue options is false")],
    ["no socket data", new Error("Socket timeout. Expecting data, but didn't receive any in 1200ms.")],
    [
      "an aborted pipeline",
      Object.assign(new Error("Command aborted due to connection close"), { name: "AbortError" }),
    ],
  ];
  test.each(away)("is known: %s", (_what, error) => {
    const reason = awayReason(error);
    expect(reason).toBeString();
    expect(reason).not.toBe("");
    expect(reason).not.toContain("\n");
  });

  test("keeps Redis's own word where it has one", () => {
    for (const word of ["MISCONF", "READONLY", "NOREPLICAS", "OOM", "LOADING", "BUSY", "CLUSTERDOWN"]) {
      expect(awayReason(new Error(`${word} and so on`))).toContain(word);
    }
  });

  test("is a slot that moves, on whichever of the redirections the client gave up", () => {
    for (const last of ["TRYAGAIN Multiple keys request", "ASK 8000 127.0.0.1:7001", "MOVED 8000 127.0.0.1:7001"]) {
      const error = awayOf(new Error(`Too many Cluster redirections. Last error: ReplyError: ${last}`), "{pp:3}");
      expect(error).toBeInstanceOf(SlotMoves);
      expect(error?.message).toBe(
        `slot ${slotOf("{pp:3}")} of partition 3 is being moved to another node (if nobody moves it: redis-cli --cluster fix)`,
      );
    }
    expect(awayOf(new Error("MOVED 8000 127.0.0.1:7001"))).not.toBeInstanceOf(SlotMoves);
    expect(awayOf(new Error("WRONGTYPE so it is"))).toBeUndefined();
  });

  test("is one line, and not longer than a person reads", () => {
    const reason = awayReason(new Error(`MISCONF ${"Errors writing\nto the AOF ".repeat(100)}`)) ?? "";
    expect(reason).not.toContain("\n");
    expect(reason.length).toBeLessThanOrEqual(200);
  });
});

describe("an error that means something else", () => {
  const other: [string, unknown][] = [
    ["a wrong type", new Error("WRONGTYPE Operation against a key holding the wrong kind of value")],
    ["no group", new Error("NOGROUP No such key '{pp:0}:q:low' or consumer group 'workers'")],
    ["a group that is there", new Error("BUSYGROUP Consumer Group name already exists")],
    ["a bad script", new Error("ERR Error compiling script (new function): user_script:1: unexpected symbol")],
    ["a script's own fault", new Error("ERR user_script:12: attempt to index a nil value script: 5f1")],
    ["a bad argument", new Error("ERR value is not an integer or out of range")],
    ["no script", new Error("NOSCRIPT No matching script. Please use EVAL.")],
    ["keys in two slots", new Error("CROSSSLOT Keys in request don't hash to the same slot")],
    ["a bug of ours", new TypeError("undefined is not an object")],
    ["a file of ours", coded("EACCES: permission denied, open '/data/x'", "EACCES")],
    ["no error", "ECONNREFUSED"],
    ["nothing", undefined],
  ];
  test.each(other)("is not taken for it: %s", (_what, error) => {
    expect(awayReason(error)).toBeUndefined();
  });
});
