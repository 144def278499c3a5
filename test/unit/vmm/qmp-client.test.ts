import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from '../../support/duplex-pair';
import { describe, it } from 'node:test';
import type { Duplex } from 'node:stream';
import { QmpClient, QmpError } from '../../../src/modules/vmm/adapters/qemu/qmp-client';

interface Command {
  execute: string;
  id: number;
}

function pair(answer: (command: Command) => string): { client: QmpClient; qemu: Duplex } {
  const [ours, theirs] = duplexPair();
  theirs.setEncoding('utf8');
  theirs.on('data', (text: string) => {
    if (theirs.writableEnded) return;
    for (const line of text.trim().split('\n')) theirs.write(answer(JSON.parse(line) as Command));
  });
  return { client: new QmpClient(ours), qemu: theirs };
}

describe('QmpClient', () => {
  it('is ready after greeting and capabilities, whatever the pieces', async () => {
    const { client, qemu } = pair(({ id }) => `{"return": {}, "id": ${id}}\r\n`);
    const ready = client.ready();
    qemu.write('{"QMP": {"vers');
    qemu.write('ion": {}}}\r\n{"event": "RESUME"}\r\n');
    await ready;
    client.close();
  });

  it('gives each answer to its command, and errors as errors', async () => {
    const { client, qemu } = pair(({ id, execute }) =>
      execute === 'bad'
        ? `{"id": ${id}, "error": {"class": "GenericError", "desc": "no such thing"}}\n`
        : `{"id": ${id}, "return": "${execute}"}\n`,
    );
    qemu.write('{"QMP": {}}\n');
    await client.ready();
    const [one, two] = await Promise.all([client.execute('one'), client.execute('two')]);
    assert.deepEqual([one, two], ['one', 'two']);
    await assert.rejects(client.execute('bad'), (error: unknown) => {
      return error instanceof QmpError && error.message === 'bad: no such thing';
    });
    client.close();
  });

  it('rejects what is open when QEMU goes away', async () => {
    const { client, qemu } = pair(() => '');
    qemu.write('{"QMP": {}}\n');
    const asked = client.execute('stop');
    qemu.end();
    await assert.rejects(asked, /closed its control connection/);
    await client.closed;
    await assert.rejects(client.execute('cont'), /closed its control connection/);
  });

  it('names the command that is not answered in time', async () => {
    const { client } = pair(() => '');
    await assert.rejects(client.execute('stop', undefined, 5), /did not answer stop within/);
    client.close();
  });

  it('closes on what is not QMP', async () => {
    const { client, qemu } = pair(() => '');
    const closed = once(qemu, 'close');
    const ready = client.ready();
    qemu.write('hello\n');
    await assert.rejects(ready, /not JSON/);
    await closed;
  });

  it('says so at once when the connection was closed before anybody listened', async () => {
    const [ours] = duplexPair();
    ours.destroy();
    await once(ours, 'close');
    const client = new QmpClient(ours);
    await assert.rejects(client.ready(), /closed its control connection/);
    await client.closed;
  });
});
