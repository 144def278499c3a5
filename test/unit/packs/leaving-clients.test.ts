import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { TestApp } from '../../support/app';
import { PackLab } from '../../support/packs';
import { until } from '../../support/until';

describe('a client that leaves', () => {
  let lab: PackLab;
  let untouched: string[];

  before(async () => {
    lab = new PackLab(await TestApp.start());
    // Enough data that a pack does not fit into the buffers on its way.
    await lab.snapshot(
      'py',
      Array.from({ length: 6000 }, (_, page) => page),
    );
    await lab.request('GET', '/v1/snapshots');
    untouched = await lab.everything();
  });
  after(async () => {
    await lab.close();
    await lab.app.close();
  });

  const staged = async (): Promise<number> =>
    (await readdir(lab.root)).filter((name) => name.startsWith('.new-')).length;

  const started = (method: string, path: string): ClientRequest => {
    const request = httpRequest({ host: '127.0.0.1', port: lab.app.port, method, path, agent: false });
    request.on('error', () => undefined);
    return request;
  };

  it('in the middle of a pack leaves nothing, and neither does one that only asks for the head', async () => {
    const request = started('GET', '/v1/snapshots/py/pack');
    const response = new Promise((resolve) => request.once('response', resolve));
    request.end();
    await response;
    assert.equal(await staged(), 1);
    request.destroy();
    await until(async () => (await staged()) === 0);
    assert.equal((await lab.request('HEAD', '/v1/snapshots/py/pack')).status, 200);
    await until(async () => (await staged()) === 0);
    assert.deepEqual(await lab.everything(), untouched);
  });

  it('in the middle of an unpack leaves nothing', async () => {
    const { body } = await lab.pack('py');
    const request = started('POST', '/v1/snapshots/unpack?as=half');
    request.write(body.subarray(0, Math.floor(body.length / 2)));
    await until(async () => (await staged()) === 1);
    request.destroy();
    await until(async () => (await staged()) === 0);
    assert.deepEqual(await lab.everything(), untouched);
  });

  it('does not keep anybody from deleting the snapshot, and gets all of it all the same', async () => {
    const request = started('GET', '/v1/snapshots/py/pack');
    const chunks: Buffer[] = [];
    const whole = new Promise<void>((resolve, reject) => {
      request.once('response', (response) => {
        response.pause();
        void lab.request('DELETE', '/v1/snapshots/py').then(({ status }) => {
          assert.equal(status, 204);
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.once('end', resolve);
          response.once('error', reject);
          response.resume();
        }, reject);
      });
    });
    request.end();
    await whole;
    assert.equal((await lab.unpack(Buffer.concat(chunks))).status, 201);
    await lab.requireImage('py', lab.imageOf('py'));
  });
});
