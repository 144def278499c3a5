import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Answer } from '../../support/http';
import { SimulatedHost } from '../../support/simulated-host';
import { until } from '../../support/until';

const RUNS = Number(process.env['FORKD_MODEL_RUNS'] ?? '12');

/** A request; `{id}` in its path stands for one of the sandboxes. */
interface Wish {
  readonly method: string;
  readonly path: string;
  readonly json?: unknown;
  readonly sandbox: number;
}

const newTag = fc.constantFrom('py', 'a', 'b');
const tag = fc.constantFrom('py', 'a', 'b', 'ws-w-state');
const sandbox = fc.nat(3);
const wishOf = (method: string, path: string, json?: unknown, of = 0): Wish => ({
  method,
  path,
  sandbox: of,
  ...(json === undefined ? {} : { json }),
});

const wish: fc.Arbitrary<Wish> = fc.oneof(
  newTag.map((of) => wishOf('POST', '/v1/snapshots', { tag: of, image: 'python', mem_size_mib: 64 })),
  fc
    .tuple(tag, fc.constantFrom('', '?cascade=true', '?force=true'))
    .map(([of, how]) => wishOf('DELETE', `/v1/snapshots/${of}${how}`)),
  fc
    .tuple(tag, fc.integer({ min: 1, max: 3 }))
    .map(([from, n]) => wishOf('POST', '/v1/sandboxes', { snapshot_tag: from, n })),
  fc
    .tuple(sandbox, newTag, fc.constantFrom({}, { mode: 'diff' }, { mode: 'diff', parent_tag: 'py' }))
    .map(([of, to, how]) => wishOf('POST', '/v1/sandboxes/{id}/branch', { tag: to, ...how }, of)),
  sandbox.map((of) => wishOf('DELETE', '/v1/sandboxes/{id}', undefined, of)),
  sandbox.map((of) => wishOf('POST', '/v1/sandboxes/{id}/eval', { code: 'incr n' }, of)),
  fc.tuple(tag, newTag).map(([of, to]) => wishOf('POST', `/v1/snapshots/${of}/compact`, { to })),
  tag.map((from) => wishOf('POST', '/v1/workspaces', { name: 'w', snapshot_tag: from })),
  fc.constantFrom('suspend', 'resume').map((what) => wishOf('POST', `/v1/workspaces/w/${what}`, {})),
  fc.constant(wishOf('DELETE', '/v1/workspaces/w')),
);

function perform(host: SimulatedHost, ids: readonly string[], asked: Wish): Promise<Answer> {
  const { method, path, json, sandbox: of } = asked;
  return host.client.send(
    method,
    path.replace('{id}', ids[of] ?? 'none'),
    json === undefined ? {} : { json },
  );
}

/** What is listed works, and all of it can be deleted. */
async function assertConsistent(host: SimulatedHost): Promise<void> {
  const { client } = host;
  const list = <T>(what: string): Promise<T[]> => client.json<T[]>(200, 'GET', `/v1/${what}`);
  const sandboxes = await list<{ id: string }>('sandboxes');
  for (const { id } of sandboxes) {
    await client.json(200, 'POST', `/v1/sandboxes/${id}/eval`, { code: 'incr n' });
    await client.json(201, 'POST', `/v1/sandboxes/${id}/branch`, { tag: `of-${id}`, mode: 'diff' });
  }
  for (const { name, status } of await list<{ name: string; status: string }>('workspaces')) {
    if (status !== 'running') continue;
    await client.json(200, 'POST', `/v1/workspaces/${name}/suspend`, {});
    await client.json(200, 'POST', `/v1/workspaces/${name}/resume`, {});
  }
  for (const each of await list<{ tag: string; status: string }>('snapshots')) {
    assert.equal(each.status, 'ready', each.tag);
  }
  for (const { id } of await list<{ id: string }>('sandboxes')) {
    await client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  }
  for (const { tag: each } of await list<{ tag: string }>('snapshots')) {
    await client.json(204, 'DELETE', `/v1/snapshots/${each}?force=true`);
  }
  for (const { name } of await list<{ name: string }>('workspaces')) {
    await client.json(204, 'DELETE', `/v1/workspaces/${name}`);
  }
  assert.deepEqual(await host.traces(), []);
  assert.deepEqual(await host.snapshotDirectories(), []);
}

describe('requests at once', () => {
  for (const crash of [false, true]) {
    it(`leave nothing inconsistent${crash ? ', also when the daemon is killed among them' : ''}`, async () => {
      const bursts = fc.array(fc.array(wish, { minLength: 2, maxLength: 10 }), {
        minLength: 1,
        maxLength: 4,
      });
      const property = fc.asyncProperty(bursts, fc.nat(120), async (each, moment) => {
        const host = await SimulatedHost.start();
        try {
          await host.snapshot('py');
          const body = { snapshot_tag: 'py', n: 3 };
          const first = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', body);
          const ids = first.map(({ id }) => id);
          for (const burst of each) {
            const hit = crash
              ? host.faults.inject({ action: 'crash', nth: moment + 1 })
              : new Promise<never>(() => undefined);
            const all = Promise.allSettled(burst.map((one) => perform(host, ids, one)));
            if ((await Promise.race([hit, all.then(() => undefined)])) !== undefined) await host.crash();
            host.faults.release();
            for (const outcome of await all) {
              assert.ok(crash || outcome.status === 'fulfilled');
              if (outcome.status === 'fulfilled') assert.doesNotMatch(outcome.value.text, /internal error/);
            }
          }
          await until(async () =>
            (await host.client.json<{ status: string }[]>(200, 'GET', '/v1/snapshots')).every(
              ({ status }) => status !== 'writing',
            ),
          );
          await assertConsistent(host);
        } finally {
          await host.stop();
        }
      });
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true });
    });
  }
});
