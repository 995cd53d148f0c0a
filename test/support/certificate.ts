import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate {
  key: string;
  cert: string;
}

/** A self-signed certificate for localhost and 127.0.0.1, made by openssl as the test runs. */
export async function makeCertificate(): Promise<Certificate> {
  const directory = await mkdtemp(join(tmpdir(), "postpaid-cert-"));
  const [key, cert] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  try {
    const openssl = Bun.spawn(
      [
        ...["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
        ...["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        ...["-keyout", key, "-out", cert],
      ],
      { stdout: "ignore", stderr: "pipe" },
    );
    const [status, errors] = await Promise.all([openssl.exited, new Response(openssl.stderr).text()]);
    if (status !== 0) throw new Error(`openssl failed: ${errors}`);
    return { key: await Bun.file(key).text(), cert: await Bun.file(cert).text() };
  } finally {
    await rm(directory, { recursive: true });
  }
}
