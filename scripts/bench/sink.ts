/*
 * An SMTP relay that takes everything and keeps nothing, as a process of its own. It speaks PIPELINING.
 * Asked "count" it says how many mails came, asked for "arrivals" when each came (epoch ms, by message id).
 */
import type { Socket } from "bun";
import { answerParent } from "./child.ts";

interface Session {
  /** What is not worked off yet. */
  rest: string;
  inContent: boolean;
}

let count = 0;
const arrivals: Record<string, number> = {};
const records = process.argv[2] === "arrivals";

function onData(socket: Socket<Session>, chunk: Buffer): void {
  const session = socket.data;
  let text = session.rest + chunk.toString("latin1");
  let replies = "";
  for (;;) {
    if (session.inContent) {
      const end = text.indexOf("\r\n.\r\n");
      if (end === -1) break;
      count += 1;
      if (records) note(text.slice(0, end));
      text = text.slice(end + 5);
      session.inContent = false;
      replies += "250 2.0.0 queued\r\n";
      continue;
    }
    const end = text.indexOf("\r\n");
    if (end === -1) break;
    const verb = text.slice(0, 4).toUpperCase();
    text = text.slice(end + 2);
    if (verb === "DATA") session.inContent = true;
    replies += replyTo(verb);
  }
  session.rest = text;
  if (replies !== "") socket.write(replies);
}

function replyTo(verb: string): string {
  switch (verb) {
    case "EHLO":
      return "250-sink\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n";
    case "DATA":
      return "354 go ahead\r\n";
    case "QUIT":
      return "221 2.0.0 bye\r\n";
    default:
      return "250 2.0.0 ok\r\n";
  }
}

function note(content: string): void {
  const messageId = /^message-id:\s*<(msg_[0-9a-z]+)/im.exec(content)?.[1];
  if (messageId !== undefined) arrivals[messageId] = performance.timeOrigin + performance.now();
}

const server = Bun.listen<Session>({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    open(socket) {
      socket.data = { rest: "", inContent: false };
      socket.write("220 sink ESMTP\r\n");
    },
    data: onData,
    error() {}, // the client went away, as it may
  },
});
answerParent<"count" | "arrivals">(server.port, (question) => (question === "count" ? { count } : arrivals));
