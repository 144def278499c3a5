import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ApiClient } from '../api/client';
import type { Sandbox, Snapshot } from '../api/types';
import { CliError, ExitCode, withHint } from '../errors';
import { runImageTool, toImage } from '../image-tool';
import { bytes } from '../output/format';
import { exercise, requireDivergence, type ChildResult } from './children';
import { clientFor, IMAGE, TAG, type QuickstartContext } from './context';
import { useDaemon } from './daemon-use';
import { removeIfThere } from './daemon-stop';
import { sha256 } from './hash';
import type { Phases } from './phases';
import type { DaemonRecord } from './record-file';

export interface UpOptions {
  readonly children: number;
  /** The user's choice; else that of the daemon that runs, else the default. */
  readonly port: number | undefined;
}

export interface UpResult {
  readonly daemon: DaemonRecord;
  readonly snapshot: Snapshot;
  readonly memoryPath: string;
  readonly memorySha256: string;
  readonly children: readonly ChildResult[];
}

/** From nothing, or from what is there, to children that were forked, compared and deleted. */
export async function up(context: QuickstartContext, phases: Phases, options: UpOptions): Promise<UpResult> {
  await phases.run(`image ${IMAGE}`, async (step) => {
    const started = performance.now();
    const image = toImage(
      await runImageTool({
        entry: context.installation.imageToolEntry,
        args: ['build', IMAGE, '--image-root', context.layout.imageRoot],
        onStep: step,
        signal: context.signal,
      }),
    );
    const made = image.createdAtUnix * 1000 >= Date.now() - (performance.now() - started) - 1000;
    return { value: image, detail: `${made ? 'built' : 'there already'}, ${bytes(image.sizeBytes)}` };
  });
  const daemon = await phases.run('daemon', async (step) => useDaemon(context, options.port, step));
  const api = clientFor(context, daemon.port);
  try {
    const snapshot = await phases.run(`snapshot ${TAG}`, async () => useSnapshot(api, context.signal));
    const memoryPath = await memoryOf(snapshot);
    const before = await phases.run('sha256 of the memory', async () => {
      const hash = await sha256(memoryPath, context.signal);
      return { value: hash, detail: `${hash.slice(0, 16)}...` };
    });
    const children = await forkAndDelete(context, phases, api, options.children);
    await phases.run('memory compared', async () => {
      const after = await sha256(memoryPath, context.signal);
      if (after !== before) {
        throw new CliError(
          ExitCode.failed,
          `${memoryPath} was changed by its children: ${before} became ${after}`,
          'This is a defect of forkd: please report it.',
        );
      }
      return { value: after, detail: 'the same as before the fork' };
    });
    return { daemon, snapshot, memoryPath, memorySha256: before, children };
  } finally {
    api.close();
  }
}

async function useSnapshot(
  api: ApiClient,
  signal: AbortSignal,
): Promise<{ value: Snapshot; detail: string }> {
  const there = (await api.snapshots()).find((snapshot) => snapshot.tag === TAG);
  if (there?.status === 'writing') {
    throw new CliError(
      ExitCode.conflict,
      `snapshot ${TAG} is being written by another request`,
      'Run this again when it is done.',
    );
  }
  if (there?.status === 'ready' && there.bootable) return { value: there, detail: 'there already' };
  if (there !== undefined) await api.deleteSnapshot(TAG);
  const made = await api.createSnapshot({ tag: TAG, image: IMAGE }, signal);
  return { value: made, detail: 'parent booted, warmed and frozen' };
}

/** The memory image's name is the snapshot's own matter; memory.bin where it does not say. */
async function memoryOf(snapshot: Snapshot): Promise<string> {
  const usual = join(snapshot.dir, 'memory.bin');
  try {
    const parsed: unknown = JSON.parse(await readFile(join(snapshot.dir, 'snapshot.json'), 'utf8'));
    const memory =
      typeof parsed === 'object' && parsed !== null && 'memory' in parsed ? parsed.memory : undefined;
    return typeof memory === 'string' ? resolve(snapshot.dir, memory) : usual;
  } catch {
    return usual;
  }
}

/** Whatever happens, no child is left. */
async function forkAndDelete(
  context: QuickstartContext,
  phases: Phases,
  api: ApiClient,
  count: number,
): Promise<ChildResult[]> {
  let children: Sandbox[] = [];
  const removeAll = async (): Promise<void> => {
    const mine = children;
    children = [];
    await Promise.all(mine.map(({ id }) => removeIfThere(api, id)));
  };
  try {
    const started = performance.now();
    await phases.run(`fork ${count}`, async () => {
      try {
        children = await api.fork({ snapshot_tag: TAG, n: count }, context.signal);
      } catch (error) {
        throw forkFailure(error);
      }
      return { value: undefined, detail: 'every child has answered' };
    });
    const results = await phases.run('Python in each', async () => {
      const answers = await exercise(api, children, started, context.signal);
      requireDivergence(answers);
      return { value: answers, detail: 'all different, and warm' };
    });
    await phases.run('delete', async () => {
      await removeAll();
      return { value: undefined, detail: 'all gone' };
    });
    return results;
  } finally {
    await removeAll();
  }
}

function forkFailure(error: unknown): unknown {
  if (!(error instanceof CliError) || error.exitCode !== ExitCode.conflict) return error;
  return withHint(
    error,
    'The snapshot may be of another engine, version or image. Make it anew:\n' +
      '  npm run quickstart -- --down --purge && npm run quickstart',
  );
}
