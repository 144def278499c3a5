import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, copyFile, rename, writeFile } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { type Certificate, makeCertificate } from '../support/certificates';
import { DaemonProcesses, type DaemonProcess } from '../support/daemon-process';

const run = promisify(execFile);

let daemons: DaemonProcesses;
let served: Certificate;
beforeEach(async () => {
  daemons = await DaemonProcesses.create();
  served = await makeCertificate(daemons.directory, 'served');
});
afterEach(async () => {
  await daemons.close();
});

const serve = (): Promise<DaemonProcess> =>
  daemons.serve(['--tls-cert', served.cert, '--tls-key', served.key]);
const portOf = ({ url }: DaemonProcess): number => Number(new URL(url).port);

/** `openssl s_client` with a request on standard input. */
async function openssl(port: number, args: string[]): Promise<{ code: number; text: string }> {
  const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args]);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  child.stdin.on('error', () => undefined);
  child.stdin.end('GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
  const [code] = (await once(child, 'close')) as [number];
  return { code, text };
}

/** A new connection's view of who the server is. */
async function servedName(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return String(name);
}

async function ask(socket: TLSSocket): Promise<string> {
  socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString();
}

describe('TLS', () => {
  it('is 1.2 and 1.3, with the certificate that was given, as openssl and curl see it', async () => {
    const daemon = await serve();
    assert.match(daemon.url, /^https:/);
    const port = portOf(daemon);
    for (const version of ['1_2', '1_3']) {
      const { code, text } = await openssl(port, [
        `-tls${version}`,
        '-CAfile',
        served.cert,
        '-verify_return_error',
      ]);
      assert.equal(code, 0, text);
      assert.match(text, new RegExp(`TLSv${version.replace('_', '\\.')}`));
      assert.match(text, /Verify return code: 0 \(ok\)/);
      assert.match(text, /\{"ok":true\}/);
    }
    for (const version of ['1', '1_1']) {
      const { code, text } = await openssl(port, [`-tls${version}`, '-cipher', 'DEFAULT@SECLEVEL=0']);
      assert.notEqual(code, 0);
      assert.match(text, /alert protocol version|unsupported protocol|no protocols available/);
    }
    const { stdout } = await run('curl', [
      '-sS',
      '--cacert',
      served.cert,
      `https://localhost:${port}/healthz`,
    ]);
    assert.equal(stdout, '{"ok":true}');
  });

  it('answers plain HTTP with 400 and the reason, for every method', async () => {
    const port = portOf(await serve());
    const body = daemons.path('body');
    await writeFile(body, Buffer.alloc(1_000_000));
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS']) {
      const args = ['-sS', '-X', method, '-w', ' %{http_code}', '--data-binary', `@${body}`];
      const { stdout } = await run('curl', [...args, `http://127.0.0.1:${port}/v1/sandboxes`]);
      assert.equal(stdout, '{"error":"this port speaks TLS: use https://"} 400', method);
    }
  });

  it('breaks off on what is neither, and goes on', async () => {
    const port = portOf(await serve());
    for (const bytes of ['\0'.repeat(16), '\x16\x03\x01\x00\x05garbage', '\xff']) {
      const socket = connectPlain(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(bytes, 'latin1');
      socket.resume();
      if (bytes === '\xff') socket.end();
      await once(socket, 'close');
    }
    const silent = connectPlain(port, '127.0.0.1');
    await once(silent, 'connect');
    silent.destroy();
    assert.equal(await servedName(port), 'served');
  });

  it('stops although a client has connected and says nothing', async () => {
    const daemon = await serve();
    const silent = connectPlain(portOf(daemon), '127.0.0.1');
    silent.on('error', () => undefined);
    await once(silent, 'connect');
    // An answer to a later connection says that the daemon has taken this one.
    await servedName(portOf(daemon));
    assert.deepEqual(await daemon.end('SIGTERM'), [0, null]);
  });
});

describe('a pair that cannot be used', () => {
  it('is refused at start with the file and the reason', async () => {
    const { key } = await makeCertificate(daemons.directory, 'other');
    const { code, stdout, stderr } = await daemons.run([
      'serve',
      '--tls-cert',
      served.cert,
      '--tls-key',
      key,
    ]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      /^forkd-controller: --tls-key .*other\.key is not the key of the certificate in --tls-cert .*served\.crt\n$/,
    );
  });
});

describe('a new certificate', () => {
  const install = async (from: Certificate): Promise<void> => {
    for (const part of ['cert', 'key'] as const) {
      await copyFile(from[part], `${served[part]}.new`);
      await rename(`${served[part]}.new`, served[part]);
    }
  };

  it('is taken when its files change, without breaking connections', async () => {
    const daemon = await serve();
    const port = portOf(daemon);
    const kept = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    assert.match(await ask(kept), /200 OK/);
    await install(await makeCertificate(daemons.directory, 'renewed'));
    await daemon.said(/the certificate of .* is in use now/);
    assert.equal(await servedName(port), 'renewed');
    assert.match(await ask(kept), /200 OK/);
    assert.equal(kept.getPeerCertificate().subject.CN, 'served');
    kept.destroy();
    const { text } = await openssl(port, ['-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0']);
    assert.match(text, /alert protocol version|unsupported protocol|no protocols available/);
  });

  it('is taken at SIGHUP, without breaking connections', async () => {
    const daemon = await serve();
    const kept = connect({ port: portOf(daemon), host: '127.0.0.1', rejectUnauthorized: false });
    assert.match(await ask(kept), /200 OK/);
    await install(await makeCertificate(daemons.directory, 'renewed'));
    daemon.child.kill('SIGHUP');
    await daemon.said(/SIGHUP received/);
    assert.equal(await servedName(portOf(daemon)), 'renewed');
    assert.match(await ask(kept), /200 OK/);
    kept.destroy();
  });

  it('that cannot be used leaves the old one in use and is said in the log, until both files fit', async () => {
    const daemon = await serve();
    const port = portOf(daemon);
    const renewed = await makeCertificate(daemons.directory, 'renewed');
    await copyFile(renewed.key, served.key);
    await daemon.said(/"level":"warn".*is not the key of the certificate.*stays in use/);
    assert.equal(await servedName(port), 'served');
    await appendFile(served.cert, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    await daemon.said(/"level":"warn".*certificate 2 of 2 is damaged.*stays in use/);
    assert.equal(await servedName(port), 'served');
    await copyFile(renewed.cert, served.cert);
    await daemon.said(/the certificate of .* is in use now/);
    assert.equal(await servedName(port), 'renewed');
  });
});
