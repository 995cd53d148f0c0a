import { describe, expect, test } from "bun:test";
import { parseSmtpUrl } from "../../src/mail/smtpUrl.ts";

describe("an SMTP_URL", () => {
  test("names host, port and credentials, with their escapes", () => {
    const relay = parseSmtpUrl("smtp://us%40er:p%3Ass%2F@mail.example.com:2525");
    expect(relay.label).toBe("mail.example.com:2525");
    expect(relay.connection).toMatchObject({ host: "mail.example.com", port: 2525, secure: false, requireTLS: true });
    expect(relay.auth).toEqual({ user: "us@er", pass: "p:ss/" });
  });

  test.each([
    ["smtp://mail.example.com", { port: 587, secure: false }],
    ["smtps://mail.example.com", { port: 465, secure: true }],
    ["smtp://[::1]:25/", { host: "::1", port: 25 }],
    ["smtp://h?requireTLS=true", { secure: false, requireTLS: true, ignoreTLS: false }],
    ["smtp://h?ignoreTLS=true", { ignoreTLS: true }],
    ["smtp://h?name=app.example.com", { name: "app.example.com" }],
    ["smtps://h", { tls: { rejectUnauthorized: true } }],
    [
      "smtps://h?tls.rejectUnauthorized=false&tls.servername=x",
      { tls: { rejectUnauthorized: false, servername: "x" } },
    ],
    ["smtps://h?tls.minVersion=TLSv1.3", { tls: { rejectUnauthorized: true, minVersion: "TLSv1.3" } }],
  ])("%s is understood", (url, connection) => {
    expect(parseSmtpUrl(url).connection).toMatchObject(connection as object);
  });

  test.each([
    ["smtp://h", false],
    ["smtp://u:p@h", true],
    ["smtp://u:p@10.0.0.1", true],
    ["smtp://u:p@localhost.example.com", true],
    ["smtp://u:p@h?requireTLS=false", false],
    ["smtp://u:p@h?ignoreTLS=true", false],
    ["smtp://u:p@localhost", false],
    ["smtp://u:p@127.0.0.1", false],
    ["smtp://u:p@[::1]", false],
  ])("%s requires TLS for the password: %p", (url, requireTLS) => {
    expect(parseSmtpUrl(url).connection.requireTLS).toBe(requireTLS);
  });

  test("may choose the way to log in", () => {
    expect(parseSmtpUrl("smtp://u:p@h?authMethod=LOGIN").auth).toEqual({ user: "u", pass: "p", method: "LOGIN" });
  });

  test.each([
    ["mail.example.com", "is not a URL"],
    ["http://u:secret@h", "begins with http://, must be smtp:// or smtps://"],
    ["smtp://", "names no host"],
    ["smtp://u:secret@h?pool=true", "has the option pool, must be one of"],
    ["smtp://u:secret@h?maxRequeues=5", "has the option maxRequeues"],
    ["smtp://u:secret@h?opportunisticTLS=true", "has the option opportunisticTLS"],
    ["smtp://u:secret@h?tls.ca=x", "has the option tls.ca"],
    ["smtp://u:secret@h?requireTLS=1", "has requireTLS=1, must be true or false"],
    ["smtp://u:secret@h?requireTLS=true&ignoreTLS=true", "asks for TLS and for ignoreTLS"],
    ["smtps://u:secret@h?ignoreTLS=true", "asks for TLS and for ignoreTLS"],
    ["smtp://u:secret@h:465", "uses port 465"],
    ["smtp://u:secret%@h", "has a % that begins no escape"],
    ["smtps://u:secret@h?tls.minVersion=SSLv3", "has tls.minVersion=SSLv3"],
    ["smtp://u:secret@h/path", "has a path"],
  ])("%s is refused, without its password", (url, problem) => {
    try {
      parseSmtpUrl(url);
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).toStartWith(`SMTP_URL ${problem}`);
      expect((error as Error).message).not.toContain("secret");
    }
  });
});
