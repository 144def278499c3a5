import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const run = promisify(execFile);
const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** A certificate for localhost, signed by itself, and its key; PEM files in the directory. */
export async function makeCertificate(
  directory: string,
  name: string,
  more: string[] = [],
): Promise<Certificate> {
  const [cert, key] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', cert];
  await run('openssl', ['req', '-x509', ...CURVE, ...files, '-days', '1', ...subject, ...more]);
  return { cert, key };
}
