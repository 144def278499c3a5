import type { ApiClient } from '../api/client';
import { CliError, ExitCode } from '../errors';
import { goneWithin, identify, type ProcessIdentity } from './process-identity';
import type { DaemonRecord } from './record-file';

/** The daemon lets requests end for up to 30 s. */
const DRAIN_MS = 40_000;
const KILLED_MS = 5_000;
const VM_GONE_MS = 10_000;

/** Deletes all sandboxes and settles when their processes are gone. Gives their number. */
export async function deleteAllSandboxes(api: ApiClient): Promise<number> {
  const sandboxes = await api.sandboxes();
  const processes = await Promise.all(
    sandboxes.map(({ pid }) => (pid === null ? Promise.resolve(undefined) : identify(pid))),
  );
  await Promise.all(sandboxes.map(({ id }) => removeIfThere(api, id)));
  const alive = processes.filter((identity): identity is ProcessIdentity => identity !== undefined);
  const gone = await Promise.all(alive.map((identity) => goneWithin(identity, VM_GONE_MS)));
  const left = alive.filter((_, index) => gone[index] !== true).map(({ pid }) => pid);
  if (left.length > 0) {
    throw new CliError(
      ExitCode.failed,
      `deleted sandboxes whose processes are still there: ${left.join(', ')}`,
      'This is a defect of the daemon: please report it with its log.',
    );
  }
  return sandboxes.length;
}

/** A sandbox that somebody else has deleted meanwhile is as good. */
export async function removeIfThere(api: ApiClient, id: string): Promise<void> {
  try {
    await api.remove(id);
  } catch (error) {
    if (!(error instanceof CliError) || error.exitCode !== ExitCode.notFound) throw error;
  }
}

/** Ends the daemon, by force when it does not end in time, and settles when it is gone. */
export async function stopDaemon(record: DaemonRecord): Promise<void> {
  send(record.pid, 'SIGTERM');
  if (await goneWithin(record, DRAIN_MS)) return;
  send(record.pid, 'SIGKILL');
  if (await goneWithin(record, KILLED_MS)) return;
  throw new CliError(
    ExitCode.failed,
    `process ${record.pid} does not end`,
    'Look at what it waits for: ps -o stat,wchan -p ' + String(record.pid),
  );
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
