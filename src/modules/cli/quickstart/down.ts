import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import type { ApiClient } from '../api/client';
import { CliError, ExitCode } from '../errors';
import { runImageTool } from '../image-tool';
import { clientFor, DEFAULT_PORT, IMAGE, TAG, type QuickstartContext } from './context';
import { deleteAllSandboxes, stopDaemon } from './daemon-stop';
import { launch } from './daemon-use';
import { isAlive } from './process-identity';
import { readDaemonRecord, removeRecord, type DaemonRecord } from './record-file';

export interface DownResult {
  readonly daemonStopped: boolean;
  readonly sandboxesDeleted: number;
  /** What --purge removed. */
  readonly purged: readonly string[];
}

/** Stops what the quickstart started; with purge it removes what it made as well. */
export async function down(context: QuickstartContext, purge: boolean): Promise<DownResult> {
  const { layout } = context;
  const record = await readDaemonRecord(layout.daemonRecord);
  const running = record !== undefined ? await responsive(context, record) : undefined;
  const purged: string[] = [];
  let sandboxesDeleted = 0;
  // VMs outlive their daemon: only a daemon knows how to take them over and end them.
  const daemon =
    running ??
    ((await leftSandboxes(layout.state)) || (purge && (await hasEntries(layout.snapshotRoot)))
      ? await launch(context, record?.port ?? DEFAULT_PORT)
      : undefined);
  if (daemon !== undefined) {
    const api = clientFor(context, daemon.port);
    try {
      sandboxesDeleted = await deleteAllSandboxes(api);
      if (purge && (await deleteSnapshot(api))) purged.push(`snapshot ${TAG}`);
    } finally {
      api.close();
    }
    await stopDaemon(daemon);
  }
  await removeRecord(layout.daemonRecord);
  if (purge) {
    if (await deleteImage(context)) purged.push(`image ${IMAGE}`);
    const directories = [layout.home, layout.runDir];
    // Images and snapshots of others stay, and with them the directories and the packages kept for the next build.
    if ((await imageTool(context, ['ls'])).length === 0) directories.push(layout.imageRoot);
    for (const directory of directories) await rm(directory, { recursive: true, force: true });
    await rmdir(layout.snapshotRoot).catch(() => undefined);
    purged.push(...directories.filter((directory) => directory !== layout.runDir));
  }
  return { daemonStopped: daemon !== undefined, sandboxesDeleted, purged };
}

/** The daemon when it runs and answers; one that runs and does not is ended, so that another can take over its VMs. */
async function responsive(
  context: QuickstartContext,
  record: DaemonRecord,
): Promise<DaemonRecord | undefined> {
  if (!(await isAlive(record))) return undefined;
  const api = clientFor(context, record.port);
  try {
    await api.health();
    return record;
  } catch {
    await stopDaemon(record);
    return undefined;
  } finally {
    api.close();
  }
}

/** Whether the registry of a daemon that is gone still lists sandboxes. */
async function leftSandboxes(statePath: string): Promise<boolean> {
  try {
    const state: unknown = JSON.parse(await readFile(statePath, 'utf8'));
    if (typeof state !== 'object' || state === null || !('sandboxes' in state)) return false;
    const { sandboxes } = state;
    return typeof sandboxes === 'object' && sandboxes !== null && Object.keys(sandboxes).length > 0;
  } catch {
    return false;
  }
}

async function hasEntries(directory: string): Promise<boolean> {
  return readdir(directory).then(
    (names) => names.length > 0,
    () => false,
  );
}

async function deleteSnapshot(api: ApiClient): Promise<boolean> {
  try {
    await api.deleteSnapshot(TAG);
    return true;
  } catch (error) {
    if (error instanceof CliError && error.exitCode === ExitCode.notFound) return false;
    throw error;
  }
}

async function deleteImage(context: QuickstartContext): Promise<boolean> {
  try {
    await imageTool(context, ['rm', IMAGE]);
    return true;
  } catch (error) {
    if (error instanceof CliError && error.exitCode === ExitCode.notFound) return false;
    throw error;
  }
}

/** The tool's result where it is a list; else an empty one. */
async function imageTool(context: QuickstartContext, args: readonly string[]): Promise<readonly unknown[]> {
  const { installation, layout } = context;
  const result = await runImageTool({
    entry: installation.imageToolEntry,
    args: [...args, '--image-root', layout.imageRoot],
  });
  return Array.isArray(result) ? (result as unknown[]) : [];
}
