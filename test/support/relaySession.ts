/* The relay's side of one connection: RFC 5321 as far as a client can see it, and the script's orders. */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Place, ReceivedMail, RelayScript, Step } from "./relay.ts";

export interface Orders {
  extensions: string[];
  tls: RelayScript["tls"];
  next(place: Place): Step;
  keep(mail: ReceivedMail): void;
  heard(line: string): void;
  hung(): void;
  happened(): void;
}

const END = "\r\n.\r\n";

export function converse(plain: Socket, orders: Orders): void {
  let socket = plain;
  let unread = "";
  let envelope = { from: "", to: [] as string[] };
  let credentials = false; // the next line is one
  let content: string[] | undefined;
  let tail = "";
  let silent = false;

  const reply = (line: string) => {
    socket.write(`${line}\r\n`);
    if (!line.startsWith("421") && !line.startsWith("221")) return;
    silent = true;
    socket.end();
  };

  /** False when `step` is to behave well, which is left to the caller. */
  const obey = (step: Step): boolean => {
    if (step === "ok") return false;
    silent ||= step.endsWith("drop") || step.endsWith("hang");
    if (step.endsWith("drop")) socket.destroy();
    else if (step.endsWith("hang")) orders.hung();
    else reply(step);
    return true;
  };

  const at = (place: Place, well: () => void) => {
    if (!obey(orders.next(place))) well();
  };

  const commands: Record<string, (line: string) => void> = {
    EHLO: () => at("ehlo", () => reply(capabilities())),
    HELO: () => at("ehlo", () => reply("250 relay.test")),
    STARTTLS: () => at("starttls", startTls),
    AUTH: (line) => {
      credentials = line.split(" ").length === 2;
      if (credentials) reply("334 VXNlcm5hbWU6");
      else at("auth", () => reply("235 2.7.0 welcome"));
    },
    MAIL: (line) =>
      at("mail", () => {
        envelope = { from: addressIn(line), to: [] };
        reply("250 2.1.0 sender ok");
      }),
    RCPT: (line) => {
      if (envelope.from === "") return reply("503 5.5.1 MAIL first");
      at("rcpt", () => {
        envelope.to.push(addressIn(line));
        reply("250 2.1.5 recipient ok");
      });
    },
    DATA: () => {
      if (envelope.to.length === 0) return reply("554 5.5.1 no valid recipients");
      at("data", () => {
        content = [];
        tail = "\r\n"; // so that a dot on the first line ends it, too
        reply("354 go ahead");
      });
    },
    RSET: () => {
      envelope = { from: "", to: [] };
      at("rset", () => reply("250 2.0.0 forgotten"));
    },
    QUIT: () => at("quit", () => reply("221 2.0.0 bye")),
  };

  const onLine = (line: string) => {
    orders.heard(line);
    if (credentials) {
      credentials = false;
      return at("auth", () => reply("235 2.7.0 welcome"));
    }
    const command = commands[line.split(" ", 1)[0]?.toUpperCase() ?? ""];
    if (command === undefined) reply("502 5.5.2 what?");
    else command(line);
  };

  const onContent = (chunk: string, chunks: string[]) => {
    if (chunks.push(chunk) === 1 && obey(orders.next("content"))) {
      if (silent) socket.pause();
      return;
    }
    tail = (tail + chunk).slice(-END.length);
    if (tail !== END) return;
    content = undefined;
    const step = orders.next("dot");
    if (/^(ok|keep|2)/.test(step)) {
      const raw = chunks.join("").slice(0, -".\r\n".length).replace(/^\.\./gm, ".");
      orders.keep({ envelope, raw: Buffer.from(raw, "latin1"), at: Date.now() });
    }
    envelope = { from: "", to: [] };
    if (!obey(step)) reply("250 2.0.0 queued");
  };

  const onData = (chunk: Buffer) => {
    if (silent) return;
    const text = chunk.toString("latin1");
    // Nothing may follow the final dot before its reply (RFC 2920 3.1), so a chunk is one or the other.
    if (content !== undefined) onContent(text, content);
    else {
      const lines = (unread + text).split("\r\n");
      unread = lines.pop() ?? "";
      for (const line of lines) if (!silent) onLine(line);
    }
    orders.happened();
  };

  const capabilities = () => {
    const offers = [...orders.extensions];
    if (orders.tls?.mode === "starttls" && !(socket instanceof TLSSocket)) offers.push("STARTTLS");
    const lines = ["relay.test greets you", ...offers];
    return lines.map((line, i) => `250${i === lines.length - 1 ? " " : "-"}${line}`).join("\r\n");
  };

  const startTls = () => {
    if (orders.tls === undefined) return reply("502 5.5.1 not here");
    reply("220 2.0.0 ready");
    socket.removeListener("data", onData);
    socket = new TLSSocket(socket, { isServer: true, ...orders.tls.certificate });
    listen();
  };

  const listen = () => {
    socket.on("data", onData);
    socket.on("error", () => undefined); // the client went away, as it may
  };

  listen();
  at("greeting", () => reply("220 relay.test ESMTP"));
}

function addressIn(line: string): string {
  return /<([^>]*)>/.exec(line)?.[1] ?? "";
}
