import type { RegistryState } from './records';

/** Takes sandboxes out of the registry; a workspace that ran in one of them is stale then. */
export function forgetSandboxes(draft: RegistryState, ids: ReadonlySet<string>): void {
  for (const id of ids) draft.sandboxes.delete(id);
  makeStale(draft, (id) => ids.has(id));
}

/** Makes every running workspace stale whose sandbox is lost. */
export function makeStale(draft: RegistryState, isLost: (sandboxId: string) => boolean): void {
  for (const [name, { live_sandbox_id: id, ...workspace }] of draft.workspaces) {
    if (workspace.status !== 'running' || (id !== undefined && !isLost(id))) continue;
    draft.workspaces.set(name, { ...workspace, status: 'stale' });
  }
}
