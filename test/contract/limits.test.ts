import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ApiDocument, type MemberSchema, type Operation } from '../support/api-document';
import { SimulatedHost } from '../support/simulated-host';

/** Numbers at and past their limits, in every member of every route that has one (4, 5.3, 5.7, 5.10, 6). */
const U64_MAX = '18446744073709551615';

interface Place {
  readonly operation: Operation;
  readonly member: string;
  readonly schema: MemberSchema;
}

let host: SimulatedHost;
let api: ApiDocument;
before(async () => {
  host = await SimulatedHost.start();
  api = await ApiDocument.load();
  await host.snapshot('taken');
});
after(async () => {
  await host.stop();
});

function places(): Place[] {
  return api.operations.flatMap((operation) =>
    Object.entries(api.bodyOf(operation)?.schema.properties ?? {})
      .filter(([, { type }]) => [type].flat().includes('integer'))
      .map(([member, schema]) => ({ operation, member, schema })),
  );
}

/** Sends the example with one number put in as it is written; what comes after the check of it is refused. */
async function send({ operation, member }: Place, number: string): Promise<[number, string]> {
  const example: Record<string, unknown> = { ...api.bodyOf(operation)?.example };
  if ('snapshot_tag' in example) example['snapshot_tag'] = 'gone';
  if ('image' in example) example['tag'] = 'taken';
  Reflect.deleteProperty(example, member);
  const body = `{"${member}":${number},${JSON.stringify(example).slice(1)}`;
  const path = api.pathOf(operation);
  const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) };
  const answer = await host.client.send(operation.method, path, { headers, body });
  api.check(operation.method, path, answer);
  return [answer.status, answer.text];
}

describe('a number in a body', () => {
  it('is known: these are all there are', () => {
    assert.deepEqual(
      places()
        .map(({ operation, member }) => `${operation.operationId} ${member}`)
        .sort(),
      [
        'createSnapshot boot_wait_secs',
        'createSnapshot mem_size_mib',
        'createSnapshot vcpus',
        'createWorkspace memory_limit_mib',
        'execInSandbox timeout_secs',
        'spawnSandboxes disk_limit_mib',
        'spawnSandboxes memory_limit_mib',
        'spawnSandboxes n',
        'spawnSandboxes pids_limit',
      ],
    );
  });

  it('has both its limits in the document, and at them the request goes on', async () => {
    for (const place of places()) {
      const title = `${place.operation.operationId} ${place.member}`;
      const { minimum, maximum } = place.schema;
      assert.ok(minimum !== undefined && maximum !== undefined, title);
      for (const number of [minimum, maximum]) {
        const [, text] = await send(place, String(number));
        assert.match(
          text,
          /snapshot (gone not found|taken already exists)|sandbox \S+ not found/,
          `${title} ${number}`,
        );
      }
    }
  });

  it('past them is 400 and names the member and the limit', async () => {
    for (const place of places()) {
      // The sandbox comes first there (5.10); compatibility.test.ts has one for it.
      if (place.operation.operationId === 'execInSandbox') continue;
      const { minimum = 0, maximum = 0 } = place.schema;
      for (const [number, limit] of [
        ...(minimum > 0 ? [[String(minimum - 1), minimum]] : []),
        [String(maximum + 1), maximum],
        [U64_MAX, maximum],
      ]) {
        const [status, text] = await send(place, String(number));
        const title = `${place.operation.operationId} ${place.member} ${number}: ${status} ${text}`;
        assert.equal(status, 400, title);
        assert.ok(text.includes(place.member) && text.includes(String(limit)), title);
      }
    }
  });

  it('that is no unsigned 64-bit integer is 422, before anything is looked up', async () => {
    for (const place of places()) {
      for (const number of ['18446744073709551616', '1e30', '-1', '-0', '0.5', '1.0', '1e1', '"1"', 'true']) {
        const [status, text] = await send(place, number);
        const title = `${place.operation.operationId} ${place.member} ${number}: ${status} ${text}`;
        assert.equal(status, 422, title);
        assert.ok(text.includes(`\`${place.member}\``), title);
      }
    }
  });
});
