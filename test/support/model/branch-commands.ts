import assert from 'node:assert/strict';
import fc from 'fast-check';
import { until } from '../until';
import { describeSnapshot, expectStatus, type HostCommand, index, step, tag } from './commands';
import type { Model, ModelSandbox } from './model';

interface BranchWish {
  readonly mode: 'full' | 'diff' | 'live';
  /** Stored on top of the snapshot its source was forked from. */
  readonly chained: boolean;
  /** False only for live. */
  readonly wait: boolean;
}

function branchStatus(
  model: Model,
  source: ModelSandbox | undefined,
  tag: string,
  { chained, mode, wait }: BranchWish,
): number {
  if (model.snapshots.has(tag)) return 409;
  if (!source) return 404;
  if (chained) {
    if (mode === 'full') return 400;
    if (model.snapshots.get(source.tag) !== source.origin) return 409;
    if (!model.hasChain(source.tag, false)) return 500;
  }
  if (source.dead) return 500;
  return wait ? 201 : 202;
}

function branch(at: number, choice: number, wish: BranchWish): HostCommand {
  return step(`branch(${at}, ${choice}, ${JSON.stringify(wish)})`, async (model, host) => {
    const tag = model.free(choice);
    const source = model.pick(at);
    const { mode, chained, wait } = wish;
    const status = branchStatus(model, source, tag, wish);
    const path = `/v1/sandboxes/${source?.id ?? 'sb-0-0000'}/branch`;
    const parent = chained ? { parent_tag: source?.tag ?? 'none' } : {};
    // One that began and then failed is told by the list of snapshots; the model has no failed ones.
    if (!wait && status === 500) return;
    const info = await expectStatus(host, status, 'POST', path, { tag, mode, wait, ...parent });
    if (status >= 300 || !source) return;
    if (status === 202) {
      assert.equal((info as { status: string }).status, 'writing');
      const statusOf = async (): Promise<string | undefined> =>
        (await host.client.json<{ tag: string; status: string }[]>(200, 'GET', '/v1/snapshots')).find(
          (each) => each.tag === tag,
        )?.status;
      await until(async () => (await statusOf()) !== 'writing');
      assert.equal(await statusOf(), 'ready');
    }
    model.snapshots.set(tag, await describeSnapshot(host, tag, source.state));
    assert.equal(model.snapshots.get(tag)?.parent?.tag, chained ? source.tag : undefined);
    source.branches += 1;
  });
}

function compact(from: number, target: number): HostCommand {
  return step(`compact(${from}, ${target})`, async (model, host) => {
    const [tag, to] = [model.known(from), model.free(target)];
    const source = model.snapshots.get(tag);
    let allowed: number | readonly number[] = 200;
    if (tag === to) allowed = 400;
    else if (model.snapshots.has(to)) allowed = 409;
    else if (!source) allowed = [404, 500];
    else if (!model.hasChain(tag, true)) allowed = [409, 500];
    await expectStatus(host, allowed, 'POST', `/v1/snapshots/${tag}/compact`, { to });
    if (allowed !== 200 || !source) return;
    model.snapshots.set(to, await describeSnapshot(host, to, source.state));
    assert.deepEqual(model.snapshots.get(to), { state: source.state, digest: source.digest });
  });
}

/** BRANCH and chains. */
export function branchCommands(): fc.Arbitrary<HostCommand>[] {
  const wish = fc.oneof(
    fc.record({
      mode: fc.constantFrom('full' as const, 'diff' as const, 'live' as const),
      chained: fc.boolean(),
      wait: fc.constant(true),
    }),
    fc.record({ mode: fc.constant('live' as const), chained: fc.boolean(), wait: fc.constant(false) }),
  );
  const chained = fc.constant<BranchWish>({ mode: 'diff', chained: true, wait: true });
  return [
    fc.tuple(index, tag, wish).map(([at, to, how]) => branch(at, to, how)),
    fc.tuple(index, tag, chained).map(([at, to, how]) => branch(at, to, how)),
    fc.tuple(tag, tag).map(([from, to]) => compact(from, to)),
  ];
}
