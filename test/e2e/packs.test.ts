import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { UnpackedSnapshot } from '../../src/modules/packs/unpacking.service';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { ChainedSnapshots } from '../support/chained-snapshots';
import { RealHost } from '../support/real-host';

function exchange(port: number, method: string, path: string, body?: Buffer): Promise<[number, Buffer]> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, method, path, agent: false });
    request.once('error', reject);
    request.once('response', (response) => {
      buffer(response).then((data) => {
        resolve([response.statusCode ?? 0, data]);
      }, reject);
    });
    request.end(body);
  });
}

describe('a pack of a chained snapshot', () => {
  let chain: ChainedSnapshots;
  let other: RealHost;

  before(async () => {
    chain = await ChainedSnapshots.start();
    other = await RealHost.start();
  });
  after(async () => {
    await chain.host.stop();
    await other.stop();
  });

  it('is forked from by another daemon, and the state of each link is there', async () => {
    const [packed, pack] = await exchange(chain.host.client.port, 'GET', '/v1/snapshots/c2/pack');
    assert.equal(packed, 200);
    const [status, text] = await exchange(other.client.port, 'POST', '/v1/snapshots/unpack?as=moved', pack);
    assert.equal(status, 201, text.toString());
    const { unpacked, reused } = JSON.parse(text.toString()) as UnpackedSnapshot;
    assert.deepEqual([unpacked, reused], [['py', 'c1', 'moved'], []]);
    for (const [tag, n] of [
      ['moved', '2'],
      ['c1', '1'],
    ] as const) {
      const [child] = await other.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
        snapshot_tag: tag,
      });
      const path = `/v1/sandboxes/${child?.id ?? ''}`;
      assert.deepEqual(await other.client.json(200, 'POST', `${path}/eval`, { code: 'n' }), {
        result: n,
        error: null,
        exit_code: 0,
      });
      await other.client.json(204, 'DELETE', path);
    }
  });
});
