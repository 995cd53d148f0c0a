/* A service that misbehaves on order: one step for each request, then "ok" for ever. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export type Step =
  /** Answers as the service would. */
  | "ok"
  /** Takes the request and never answers. */
  | "hang"
  /** Takes the request and closes the connection. */
  | "reset"
  /** Begins a 202 and closes the connection in its body. */
  | "torn"
  | { status: number; headers?: Record<string, string>; body?: unknown };

export interface Received {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: Buffer;
  /** performance.now() */
  at: number;
}

export interface FakeService {
  url: string;
  received: Received[];
  stop(): Promise<void>;
}

/** `plan` gives each request its step, by what it asks for and how many came before. */
export async function startFake(plan: Step[] | ((request: Received, nth: number) => Step)): Promise<FakeService> {
  const received: Received[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const request = receivedOf(incoming, Buffer.concat(chunks));
      const nth = received.push(request) - 1;
      take(Array.isArray(plan) ? (plan[nth] ?? "ok") : plan(request, nth), request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    stop() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

export function problem(status: number, title: string, more: Record<string, unknown> = {}): Step {
  const body = { type: `urn:postpaid:problem:${status}`, title, status, detail: "Because.", ...more };
  return { status, headers: { "content-type": "application/problem+json" }, body };
}

export function jsonOf(request: Received | undefined): Record<string, unknown> {
  return JSON.parse(request?.body.toString() ?? "null") as Record<string, unknown>;
}

function receivedOf(incoming: IncomingMessage, body: Buffer): Received {
  const headers = Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]));
  return { method: incoming.method ?? "", path: incoming.url ?? "", headers, body, at: performance.now() };
}

function take(step: Step, request: Received, response: ServerResponse): void {
  if (step === "hang") return;
  if (step === "reset") response.socket?.destroy();
  else if (step === "torn") {
    response.writeHead(202, { "content-type": "application/json", "content-length": "100" });
    response.write('{"id":', () => response.socket?.destroy());
  } else if (step === "ok") answer(response, ...wellOf(request));
  else answer(response, step.status, step.body ?? {}, step.headers);
}

function answer(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

function wellOf(request: Received): [status: number, body: unknown] {
  const [, , , eventId, decision] = request.path.split("/");
  const dueAt = "2026-11-24T09:30:10.000Z";
  if (decision === "commit") return [200, { id: "msg_1", eventId, result: "committed", state: "queued", dueAt }];
  if (decision === "rollback") return [200, { id: "msg_1", eventId, result: "cancelled", state: "cancelled" }];
  if (request.method === "GET") return [200, { id: "msg_1", eventId, state: "sent" }];
  const { id, options } = jsonOf(request) as { id: string; options?: { hold?: boolean } };
  const state = options?.hold ? "held" : "scheduled";
  return [202, { id: "msg_1", eventId: id, state, dueAt, duplicate: false, durability: "fsynced" }];
}
