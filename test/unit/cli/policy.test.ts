import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { runCli, type CliRun } from './run-cli';

describe('forkd policy', () => {
  let server: Server;
  let url: string;
  const seen: { method: string; path: string; body: string }[] = [];
  const forkd = (...args: string[]): Promise<CliRun> => runCli(args, { env: { FORKD_URL: url } });

  before(async () => {
    server = createServer((request: IncomingMessage, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        seen.push({ method: request.method ?? '', path: request.url ?? '', body });
        const wish = body === '' ? { policy: 'internet' } : (JSON.parse(body) as object);
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ address: '10.213.0.3', bytes_sent: 5, bytes_received: 7, ...wish }));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    url = `http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  it('shows what a sandbox may reach, and changes it', async () => {
    const shown = await forkd('policy', 'sb-1-0000');
    assert.deepEqual([shown.code, seen.at(-1)?.method], [0, 'GET']);
    assert.equal(seen.at(-1)?.path, '/v1/sandboxes/sb-1-0000/network');
    assert.match(shown.stdout, /^internet/);
    assert.match(shown.stderr, /10\.213\.0\.3.*sent 5 bytes.*received 7/);
    const changed = await forkd(
      'policy',
      'sb-1-0000',
      'allow',
      '--allow',
      '1.1.1.1:443',
      '--allow',
      '10.0.0.0/8',
    );
    assert.equal(changed.code, 0, changed.stderr);
    assert.equal(seen.at(-1)?.method, 'PUT');
    assert.deepEqual(JSON.parse(seen.at(-1)?.body ?? ''), {
      policy: 'allow',
      allow: ['1.1.1.1:443', '10.0.0.0/8'],
    });
  });

  it('refuses a word that is no policy', async () => {
    const run = await forkd('policy', 'sb-1-0000', 'opne');
    assert.equal(run.code, 2);
    assert.match(run.stderr, /none, internet, allow, open/);
  });
});
