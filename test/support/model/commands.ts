import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import type { ModelHost } from './host';
import { until } from '../until';
import { assertInvariants } from './invariants';
import { CHOICES, type Model, type ModelSnapshot, type Variables } from './model';

export type HostCommand = fc.AsyncCommand<Model, ModelHost>;

/** A step: what it does to model and host, after which all invariants hold. */
export function step(name: string, run: (model: Model, host: ModelHost) => Promise<void>): HostCommand {
  return {
    check: () => true,
    run: async (model, host) => {
      await run(model, host);
      await assertInvariants(model, host);
    },
    toString: () => name,
  };
}

interface Manifest {
  readonly memory_digest: string;
  readonly parent_tag?: string;
  readonly parent_content_hash?: string;
}

/** What a new snapshot is to the model. */
export async function describeSnapshot(
  host: ModelHost,
  tag: string,
  state: Variables,
): Promise<ModelSnapshot> {
  const text = await readFile(join(host.config.snapshotRoot, tag, 'snapshot.json'), 'utf8');
  const {
    memory_digest: digest,
    parent_tag: parent,
    parent_content_hash: hash = '',
  } = JSON.parse(text) as Manifest;
  const copy = new Map(state);
  return parent === undefined
    ? { state: copy, digest }
    : { state: copy, digest, parent: { tag: parent, digest: hash } };
}

export async function expectStatus(
  host: ModelHost,
  allowed: number | readonly number[],
  method: string,
  path: string,
  json?: unknown,
): Promise<unknown> {
  const answer = await host.client.send(method, path, json === undefined ? {} : { json });
  const said = `${method} ${path} ${JSON.stringify(json)}: ${answer.status} ${answer.text}`;
  assert.ok([allowed].flat().includes(answer.status), `expected ${String(allowed)}; ${said}`);
  return answer.text === '' ? undefined : JSON.parse(answer.text);
}

/** What a spawn from this tag must answer. */
export function spawnStatus(model: Model, tag: string): number | readonly number[] {
  if (!model.snapshots.has(tag)) return 404;
  return model.hasChain(tag, true) ? 201 : [409, 500];
}

export function create(choice: number): HostCommand {
  return step(`create(${choice})`, async (model, host) => {
    const tag = model.free(choice);
    const status = model.snapshots.has(tag) ? 400 : 201;
    await expectStatus(host, status, 'POST', '/v1/snapshots', {
      tag,
      image: 'python',
      mem_size_mib: host.memSizeMib,
      boot_wait_secs: 60,
    });
    if (status === 201) model.snapshots.set(tag, await describeSnapshot(host, tag, new Map()));
  });
}

export function spawn(choice: number, n: number): HostCommand {
  return step(`spawn(${choice}, ${n})`, async (model, host) => {
    if (model.sandboxes.size >= MOST_SANDBOXES) return;
    const tag = model.known(choice);
    const status = spawnStatus(model, tag);
    const made = await expectStatus(host, status, 'POST', '/v1/sandboxes', { snapshot_tag: tag, n });
    const origin = model.snapshots.get(tag);
    if (status !== 201 || !origin) return;
    for (const { id } of made as { id: string }[]) model.forked(id, tag, origin);
  });
}

function evaluate(index: number, order: string, apply: (state: Map<string, string>) => void): HostCommand {
  return step(`eval(${index}, ${order})`, async (model, host) => {
    const sandbox = model.pick(index);
    if (!sandbox) return;
    const status = sandbox.dead ? 500 : 200;
    await expectStatus(host, status, 'POST', `/v1/sandboxes/${sandbox.id}/eval`, {
      code: host.codeFor(order),
    });
    if (!sandbox.dead) apply(sandbox.state);
  });
}

function set(index: number, key: string, value: string): HostCommand {
  return evaluate(index, `set ${key} ${value}`, (state) => state.set(key, value));
}

function unset(index: number, key: string): HostCommand {
  return evaluate(index, `unset ${key}`, (state) => state.delete(key));
}

function count(index: number): HostCommand {
  return evaluate(index, 'incr counter', (state) =>
    state.set('counter', String(Number(state.get('counter') ?? '0') + 1)),
  );
}

function exec(index: number): HostCommand {
  return step(`exec(${index}, hostname)`, async (model, host) => {
    const sandbox = model.pick(index);
    if (!sandbox) return;
    const path = `/v1/sandboxes/${sandbox.id}/exec`;
    const done = await expectStatus(host, sandbox.dead ? 500 : 200, 'POST', path, { args: ['hostname'] });
    if (!sandbox.dead) assert.equal((done as { stdout: string }).stdout, `${sandbox.id}\n`);
  });
}

function removeSandbox(index: number): HostCommand {
  return step(`delete(${index})`, async (model, host) => {
    const sandbox = model.pick(index);
    const path = `/v1/sandboxes/${sandbox?.id ?? 'sb-0-0000'}`;
    await expectStatus(host, sandbox ? 204 : 404, 'DELETE', path);
    if (sandbox) model.lose(sandbox.id, 'removed');
  });
}

function removeSnapshot(choice: number, how: '' | 'cascade' | 'force'): HostCommand {
  return step(`deleteSnapshot(${choice}, ${how})`, async (model, host) => {
    const tag = model.known(choice);
    const held = how === '' && model.dependentsOf(tag).length > 0;
    const status = !model.snapshots.has(tag) ? 404 : held ? 409 : 204;
    const query = how === '' ? '' : `?${how}=true`;
    await expectStatus(host, status, 'DELETE', `/v1/snapshots/${tag}${query}`);
    if (status !== 204) return;
    for (const each of how === 'cascade' ? model.subtreeOf(tag) : [tag]) model.snapshots.delete(each);
  });
}

function endVm(index: number): HostCommand {
  return step(`endVm(${index})`, async (model, host) => {
    const sandbox = model.pick(index);
    if (!sandbox || sandbox.dead) return;
    const path = `/v1/sandboxes/${sandbox.id}`;
    const { pid } = await host.client.json<{ pid: number }>(200, 'GET', path);
    host.endVm(pid);
    await until(async () => (await host.client.json<{ pid: number | null }>(200, 'GET', path)).pid === null);
    model.lose(sandbox.id, 'died');
  });
}

const restart = step('restart', async (model, host) => {
  await host.restart();
  model.restarted();
});

const crash = step('crash', async (model, host) => {
  await host.crash();
  model.restarted();
});

/** More would only take longer. */
const MOST_SANDBOXES = 6;

/** Chooses a sandbox. */
export const index = fc.nat(7);
/** Chooses a tag. */
export const tag = fc.nat(CHOICES - 1);
const key = fc.constantFrom('a', 'b', 'key-of-some-length');
const value = fc.stringMatching(/^[a-z0-9]{1,12}$/);

/** What a guest is told to keep in mind. */
export function variableCommands(): fc.Arbitrary<HostCommand>[] {
  const assign = fc.tuple(index, key, value).map(([at, name, to]) => set(at, name, to));
  return [assign, assign, fc.tuple(index, key).map(([at, name]) => unset(at, name)), index.map(count)];
}

/** Sandboxes, and the deletion of what they were forked from. */
export function sandboxCommands(): fc.Arbitrary<HostCommand>[] {
  return [
    fc.tuple(tag, fc.integer({ min: 1, max: 2 })).map(([from, n]) => spawn(from, n)),
    index.map(removeSandbox),
    fc
      .tuple(tag, fc.constantFrom('' as const, 'cascade' as const, 'force' as const))
      .map(([of, how]) => removeSnapshot(of, how)),
    index.map(endVm),
    fc.constant(restart),
  ];
}

/** All that needs neither branches nor workspaces. */
export function basicCommands(): fc.Arbitrary<HostCommand>[] {
  return [tag.map(create), ...sandboxCommands(), ...variableCommands(), index.map(exec), fc.constant(crash)];
}
