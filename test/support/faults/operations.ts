import { readdir, rm } from 'node:fs/promises';
import type { Answer } from '../http';
import { until } from '../until';
import type { Mark, State } from './estate';
import { BASE, LINK, WORKSPACE, WORKSPACE_STATE, type World } from './world';

/** Something that is asked of a daemon, which may die meanwhile. */
export interface Attempt {
  /** Undefined where there is nothing that answers. */
  request(): Promise<Answer | undefined>;
  /** What there may be afterwards; the last one when it was answered with success, the first when with an error. */
  readonly outcomes: readonly [State, ...State[]];
  /** Whose VMs may be killed; beside them those that are started meanwhile. */
  readonly victims: readonly string[];
}

type Operation = (world: World) => Promise<Attempt>;

type Change = Partial<Record<'snapshots' | 'sandboxes', [string, Mark | undefined][]>> & {
  readonly added?: State['added'];
  readonly workspace?: [string, { status: 'running' | 'suspended' | 'stale'; mark: Mark } | undefined];
};

/** A state that differs; undefined takes away. */
function changed(state: State, { snapshots, sandboxes, added, workspace }: Change): State {
  return {
    snapshots: edited(state.snapshots, snapshots ?? []),
    sandboxes: edited(state.sandboxes, sandboxes ?? []),
    workspaces: edited(state.workspaces, workspace === undefined ? [] : [workspace]),
    ...(added === undefined ? {} : { added }),
  };
}

function edited<T>(from: ReadonlyMap<string, T>, edits: [string, T | undefined][]): Map<string, T> {
  const copy = new Map(from);
  for (const [key, value] of edits) {
    if (value === undefined) copy.delete(key);
    else copy.set(key, value);
  }
  return copy;
}

function asked(world: World, method: string, path: string, json?: object): () => Promise<Answer> {
  return () => world.client.send(method, path, json === undefined ? {} : { json });
}

function spawning(tag: string, n: number, prepare?: (world: World) => Promise<void>): Operation {
  return async (world) => {
    await prepare?.(world);
    const { state } = world;
    const after = changed(state, { added: [n, state.snapshots.get(tag) ?? null] });
    return {
      request: asked(world, 'POST', '/v1/sandboxes', { snapshot_tag: tag, n }),
      outcomes: [state, after],
      victims: [],
    };
  };
}

function branching(mode: string, parent?: typeof BASE): Operation {
  return async (world) => {
    const mark = await world.mark(world.source);
    const body = { tag: 'made', mode, ...(parent === undefined ? {} : { parent_tag: parent }) };
    return {
      request: asked(world, 'POST', `/v1/sandboxes/${world.source}/branch`, body),
      outcomes: [world.state, changed(world.state, { snapshots: [['made', mark]] })],
      victims: [world.source],
    };
  };
}

function suspending(diff: boolean): Operation {
  return async (world) => {
    const { live_sandbox_id: id = '' } = await world.workspace(WORKSPACE);
    const mark = await world.mark(id);
    world.noteWorkspace(WORKSPACE, 'running', mark);
    const after = changed(world.state, {
      snapshots: [[WORKSPACE_STATE, mark]],
      workspace: [WORKSPACE, { status: 'suspended', mark }],
    });
    return {
      request: asked(world, 'POST', `/v1/workspaces/${WORKSPACE}/suspend`, { diff }),
      outcomes: [world.state, after],
      victims: [id],
    };
  };
}

async function suspended(world: World, name: string): Promise<Mark> {
  const { live_sandbox_id: id = '' } = await world.workspace(name);
  const mark = await world.mark(id);
  await world.client.json(200, 'POST', `/v1/workspaces/${name}/suspend`, { diff: true });
  world.noteWorkspace(name, 'suspended', mark);
  world.note({ snapshots: [[`ws-${name}-state`, mark]] });
  return mark;
}

async function secondWorkspace(world: World): Promise<void> {
  await world.client.json(201, 'POST', '/v1/workspaces', { name: 'two', snapshot_tag: LINK });
  world.noteWorkspace('two', 'running', world.state.snapshots.get(LINK) ?? null);
}

/** By name: all that a daemon may be killed in. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  'spawn of two': spawning(BASE, 2),
  'spawn from a chain': spawning(LINK, 1),
  'spawn from a chain whose image is not in the cache': spawning(LINK, 1, (world) =>
    rm(world.daemon.path('snapshots/.assembled'), { recursive: true, force: true }),
  ),
  'branch diff': branching('diff'),
  'branch full': branching('full'),
  'branch live': branching('live'),
  'branch on top of its parent': branching('diff', BASE),
  'suspend diff': suspending(true),
  'suspend full': suspending(false),

  'settling of a branch': async (world) => {
    await world.mark(world.source);
    await world.branch(world.source, { tag: 'made', mode: 'diff' });
    const settled = async (): Promise<boolean> =>
      !(await readdir(world.daemon.path('snapshots/made'))).some((name) => name.startsWith('memory.base'));
    return {
      request: async () => {
        await until(async () => !world.daemon.isAlive || (await settled()));
        return undefined;
      },
      outcomes: [world.state],
      victims: [world.source],
    };
  },

  'stop while a branch is not settled': async (world) => {
    await world.mark(world.source);
    await world.branch(world.source, { tag: 'made', mode: 'diff' });
    return {
      request: async () => {
        await world.daemon.end('SIGTERM');
        return undefined;
      },
      outcomes: [world.state],
      victims: [world.source],
    };
  },

  'delete of a sandbox': async (world) => {
    const id = await world.fork(BASE);
    const before = world.state;
    return {
      request: asked(world, 'DELETE', `/v1/sandboxes/${id}`),
      outcomes: [before, changed(before, { sandboxes: [[id, undefined]] })],
      victims: [id],
    };
  },

  'delete of a snapshot with a running child': async (world) => {
    await world.mark(world.source);
    await world.branch(world.source, { tag: 'made', mode: 'diff' });
    const id = await world.fork('made');
    const before = world.state;
    return {
      request: asked(world, 'DELETE', '/v1/snapshots/made'),
      outcomes: [before, changed(before, { snapshots: [['made', undefined]] })],
      victims: [id],
    };
  },

  'delete of a chain': async (world) => {
    await world.mark(world.child);
    await world.branch(world.child, { tag: 'made', mode: 'diff', parent_tag: LINK });
    const id = await world.fork('made');
    await world.branch(id, { tag: 'top', mode: 'diff', parent_tag: 'made' });
    const before = world.state;
    const half = changed(before, { snapshots: [['top', undefined]] });
    return {
      request: asked(world, 'DELETE', '/v1/snapshots/made?cascade=true'),
      outcomes: [before, half, changed(half, { snapshots: [['made', undefined]] })],
      victims: [id],
    };
  },

  compact: (world) => {
    const { state } = world;
    return Promise.resolve({
      request: asked(world, 'POST', `/v1/snapshots/${LINK}/compact`, { to: 'flat' }),
      outcomes: [state, changed(state, { snapshots: [['flat', state.snapshots.get(LINK)]] })],
      victims: [world.child],
    });
  },

  resume: async (world) => {
    const mark = await suspended(world, WORKSPACE);
    const running = { status: 'running' as const, mark };
    return {
      request: asked(world, 'POST', `/v1/workspaces/${WORKSPACE}/resume`),
      outcomes: [world.state, changed(world.state, { workspace: [WORKSPACE, running] })],
      victims: [],
    };
  },

  'making of a workspace': (world) => {
    const { state } = world;
    const running = { status: 'running' as const, mark: state.snapshots.get(LINK) ?? null };
    return Promise.resolve({
      request: asked(world, 'POST', '/v1/workspaces', { name: 'two', snapshot_tag: LINK }),
      outcomes: [state, changed(state, { workspace: ['two', running] })],
      victims: [],
    });
  },

  'delete of a workspace that runs': async (world) => {
    await secondWorkspace(world);
    const { live_sandbox_id: id = '' } = await world.workspace('two');
    const before = world.state;
    const stale = { status: 'stale' as const, mark: null };
    return {
      request: asked(world, 'DELETE', '/v1/workspaces/two'),
      outcomes: [
        before,
        changed(before, { workspace: ['two', stale] }),
        changed(before, { workspace: ['two', undefined] }),
      ],
      victims: [id],
    };
  },

  'delete of a workspace that is parked': async (world) => {
    await secondWorkspace(world);
    await suspended(world, 'two');
    const before = world.state;
    const without = changed(before, { snapshots: [['ws-two-state', undefined]] });
    return {
      request: asked(world, 'DELETE', '/v1/workspaces/two'),
      outcomes: [before, without, changed(without, { workspace: ['two', undefined] })],
      victims: [],
    };
  },
};
