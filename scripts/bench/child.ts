/* A part of a bench as a process of its own, asked over IPC: one answer to each question, in order. */
import { join } from "node:path";

export interface Child<Ready> {
  ready: Ready;
  // biome-ignore lint/suspicious/noExplicitAny: each child has questions and answers of its own
  ask(question: unknown): Promise<any>;
  stop(): Promise<void>;
}

/** Starts a script of this folder. Its first message says that it is ready. */
export async function startChild<Ready>(script: string, ...args: string[]): Promise<Child<Ready>> {
  const waiting: PromiseWithResolvers<unknown>[] = [];
  const wait = () => {
    const one = Promise.withResolvers<unknown>();
    waiting.push(one);
    return one.promise;
  };
  const ready = wait();
  let stopping = false;
  const child = Bun.spawn([process.execPath, join(import.meta.dir, script), ...args], {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message) => waiting.shift()?.resolve(message),
    onExit: (_, status) => {
      for (const one of waiting) one.reject(new Error(`${script} ended with status ${status}`));
      if (!stopping) waiting.length = 0;
    },
  });
  return {
    ready: (await ready) as Ready,
    ask(question) {
      const answer = wait();
      child.send(question);
      return answer;
    },
    async stop() {
      stopping = true;
      child.kill();
      await child.exited;
    },
  };
}

/** The child's side. It ends with its parent. */
export function answerParent<Question>(ready: unknown, answer: (question: Question) => unknown): void {
  process.on("message", async (question) => process.send?.((await answer(question as Question)) ?? true));
  process.on("disconnect", () => process.exit(0));
  process.send?.(ready);
}
