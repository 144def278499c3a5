import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { readTlsPair } from '../../../src/common/http/tls-pair';
import { type Certificate, makeCertificate } from '../../support/certificates';

const run = promisify(execFile);

let directory: string;
let good: Certificate;
let other: Certificate;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forkd-tls-'));
  good = await makeCertificate(directory, 'good');
  other = await makeCertificate(directory, 'other');
});
after(async () => {
  await rm(directory, { recursive: true });
});

async function file(name: string, content: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

const text = (path: string): Promise<string> => readFile(path, 'utf8');

describe('readTlsPair', () => {
  it('takes a chain with its key and allows TLS 1.2 and 1.3 only', async () => {
    const chain = await file('chain.crt', (await text(good.cert)) + (await text(other.cert)));
    const { options, validTo } = await readTlsPair(chain, good.key);
    assert.deepEqual([options.minVersion, options.maxVersion], ['TLSv1.2', 'TLSv1.3']);
    assert.ok(validTo.getTime() > Date.now());
  });

  it('refuses files that are not there or not PEM, naming them', async () => {
    await assert.rejects(
      readTlsPair('/absent/c.pem', good.key),
      /--tls-cert \/absent\/c\.pem cannot be read: ENOENT/,
    );
    await assert.rejects(
      readTlsPair(good.cert, '/absent/k.pem'),
      /--tls-key \/absent\/k\.pem cannot be read: ENOENT/,
    );
    await assert.rejects(readTlsPair(good.key, good.cert), /--tls-cert .*good\.key holds no PEM certificate/);
    await assert.rejects(readTlsPair(good.cert, good.cert), /--tls-key .*good\.crt holds no PEM private key/);
  });

  it('refuses a key of another certificate', async () => {
    await assert.rejects(
      readTlsPair(good.cert, other.key),
      /--tls-key .*other\.key is not the key of the certificate in --tls-cert .*good\.crt/,
    );
  });

  it('refuses a chain in the wrong order', async () => {
    const reversed = await file('reversed.crt', (await text(other.cert)) + (await text(good.cert)));
    await assert.rejects(readTlsPair(reversed, good.key), /as number 2; it must come first/);
  });

  it('refuses damage, saying which certificate', async () => {
    const pem = await text(good.cert);
    const broken = await file('broken.crt', pem + pem.replace('MII', 'MXX'));
    await assert.rejects(readTlsPair(broken, good.key), /broken\.crt: certificate 2 of 2 is damaged/);
    const cut = await file('cut.key', (await text(good.key)).replace('MI', 'MX'));
    await assert.rejects(readTlsPair(good.cert, cut), /cut\.key is damaged/);
  });

  it('refuses an encrypted key and never shows a key', async () => {
    const encrypted = join(directory, 'encrypted.key');
    await run('openssl', ['ec', '-in', good.key, '-out', encrypted, '-aes256', '-passout', 'pass:secret']);
    await assert.rejects(readTlsPair(good.cert, encrypted), (error: Error) => {
      assert.match(error.message, /encrypted\.key is encrypted/);
      assert.doesNotMatch(error.message, /BEGIN/);
      return true;
    });
  });
});
