/*
 * How the master is found through sentinels. Two things that ioredis's own connector does not do:
 *   - Sentinels without credentials of their own in REDIS_URL may have none, or Redis's: charts set one password for
 *     both. What a sentinel accepts is found out: without, with user and password, with the password alone. A password
 *     is sent to no sentinel that did not ask for one.
 *   - When no sentinel helps, the error says why the last connection to one failed, and not that it is closed.
 */
import { type Redis, type RedisOptions, type SentinelAddress, SentinelConnector } from "ioredis";
import type { RedisAddress } from "./redisUrl.ts";

type SentinelsAddress = RedisAddress & { kind: "sentinel" };
type Access = Pick<RedisOptions, "username" | "password">;

/** The parts of ioredis's connector that are used here; its types keep two of them to itself. */
interface Connector {
  connect(emit: Emit): Promise<unknown>;
  connectToSentinel(endpoint: Partial<SentinelAddress>, options?: RedisOptions): Redis;
  resolve(endpoint: Partial<SentinelAddress>): Promise<unknown>;
}
type Emit = (event: string, error: Error) => void;
const Base = SentinelConnector as unknown as new (options: RedisOptions) => Connector;

/** What a sentinel says to a client without credentials, or with wrong ones. */
const REFUSED = /^(?:NOAUTH|WRONGPASS|NOPERM)|invalid password/;

/** One that is open at this end only is passed over. */
const SENTINEL_TIMEOUT_MS = 2_000;

export function reachedThroughSentinels(address: SentinelsAddress) {
  const { hosts, kind: _, sentinel, ...access } = address;
  return {
    ...access,
    sentinels: hosts,
    failoverDetector: true,
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    ...(access.tls && { enableTLSForSentinelMode: true, sentinelTLS: access.tls }),
    Connector: connectorWith(sentinel === undefined ? guessesOf(access) : [sentinel]) as never,
  };
}

function guessesOf({ username, password }: Access): Access[] {
  const guesses: Access[] = [{}];
  if (username !== undefined) guesses.push({ username, password });
  if (password) guesses.push({ password });
  return guesses;
}

function connectorWith(guesses: readonly Access[]) {
  return class extends Base {
    /** The guess that is used now. */
    #guess = 0;
    #lastError: Error | undefined;

    override connect(emit: Emit) {
      return super.connect((event, error) => {
        if (event === "error" && this.#lastError) error.cause = this.#lastError;
        emit(event, error);
      });
    }

    override connectToSentinel(endpoint: Partial<SentinelAddress>, options?: RedisOptions): Redis {
      const client = super.connectToSentinel(endpoint, {
        disableClientInfo: true,
        ...guesses[this.#guess],
        ...options,
      });
      client.on("error", (error) => {
        this.#lastError = error;
      });
      return client;
    }

    override async resolve(endpoint: Partial<SentinelAddress>) {
      for (let tried = 1; ; tried++) {
        try {
          return await super.resolve(endpoint);
        } catch (error) {
          const isRefused = error instanceof Error && REFUSED.test(error.message);
          if (isRefused) this.#lastError = error;
          if (!isRefused || tried >= guesses.length) throw error;
          this.#guess = (this.#guess + 1) % guesses.length;
        }
      }
    }
  };
}
