import fc from 'fast-check';
import { describeSnapshot, expectStatus, type HostCommand, spawnStatus, step, tag } from './commands';

const stateTagOf = (name: string): string => `ws-${name}-state`;

function create(name: string, choice: number): HostCommand {
  return step(`createWorkspace(${name}, ${choice})`, async (model, host) => {
    const tag = model.known(choice);
    const taken = model.workspaces.has(name) || model.snapshots.has(stateTagOf(name));
    const status = taken ? 409 : spawnStatus(model, tag);
    const info = await expectStatus(host, status, 'POST', '/v1/workspaces', { name, snapshot_tag: tag });
    const origin = model.snapshots.get(tag);
    if (status !== 201 || !origin) return;
    const { live_sandbox_id: sandboxId } = info as { live_sandbox_id: string };
    model.forked(sandboxId, tag, origin);
    model.workspaces.set(name, { source: tag, status: 'running', sandboxId });
  });
}

function suspend(name: string, diff: boolean): HostCommand {
  return step(`suspend(${name}, ${diff})`, async (model, host) => {
    const workspace = model.workspaces.get(name);
    const tag = stateTagOf(name);
    let status = 200;
    if (!workspace) status = 404;
    else if (workspace.status !== 'running') status = 400;
    else if (model.dependentsOf(tag).length > 0) status = 409;
    else if (workspace.stateTag === undefined && model.snapshots.has(tag)) status = 409;
    await expectStatus(host, status, 'POST', `/v1/workspaces/${name}/suspend`, { diff });
    if (status !== 200 || workspace?.sandboxId === undefined) return;
    const state = model.sandboxes.get(workspace.sandboxId)?.state ?? new Map<string, string>();
    model.snapshots.set(tag, await describeSnapshot(host, tag, state));
    model.sandboxes.delete(workspace.sandboxId);
    workspace.status = 'suspended';
    workspace.stateTag = tag;
    delete workspace.sandboxId;
  });
}

function resume(name: string): HostCommand {
  return step(`resume(${name})`, async (model, host) => {
    const workspace = model.workspaces.get(name);
    const tag = workspace?.stateTag ?? workspace?.source ?? '';
    let status: number | readonly number[];
    if (!workspace) status = 404;
    else if (workspace.status === 'running') status = 400;
    else status = spawnStatus(model, tag) === 201 ? 200 : spawnStatus(model, tag);
    const info = await expectStatus(host, status, 'POST', `/v1/workspaces/${name}/resume`, {});
    const origin = model.snapshots.get(tag);
    if (status !== 200 || !workspace || !origin) return;
    const { live_sandbox_id: sandboxId } = info as { live_sandbox_id: string };
    model.forked(sandboxId, tag, origin);
    workspace.status = 'running';
    workspace.sandboxId = sandboxId;
  });
}

function remove(name: string): HostCommand {
  return step(`deleteWorkspace(${name})`, async (model, host) => {
    const workspace = model.workspaces.get(name);
    const tag = workspace?.stateTag;
    const held = tag !== undefined && model.dependentsOf(tag).length > 0;
    const status = !workspace ? 404 : held ? 409 : 204;
    await expectStatus(host, status, 'DELETE', `/v1/workspaces/${name}`);
    if (status !== 204) return;
    if (workspace?.sandboxId !== undefined) model.sandboxes.delete(workspace.sandboxId);
    if (tag !== undefined) model.snapshots.delete(tag);
    model.workspaces.delete(name);
  });
}

/** Workspaces. */
export function workspaceCommands(): fc.Arbitrary<HostCommand>[] {
  const name = fc.constantFrom('w0', 'w0', 'w0', 'w1');
  return [
    fc.tuple(name, tag).map(([called, from]) => create(called, from)),
    fc.tuple(name, fc.boolean()).map(([called, diff]) => suspend(called, diff)),
    name.map(resume),
    name.map(remove),
  ];
}
