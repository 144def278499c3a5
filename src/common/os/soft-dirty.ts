import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, writeFile } from 'node:fs/promises';

const PAGE = 4096;
const SOFT_DIRTY = 1n << 55n;
const HELPER_MS = 5_000;

/**
 * Whether the kernel tells which pages a process wrote: a helper's marks are cleared, it is made to run, and then its
 * stack must be marked.
 */
export async function hasSoftDirty(): Promise<boolean> {
  const helper = spawn('cat', [], {
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: HELPER_MS,
    killSignal: 'SIGKILL',
  });
  try {
    await once(helper, 'spawn');
    const { pid } = helper;
    if (pid === undefined) throw new Error('cat has no process id');
    const echo = async (): Promise<void> => {
      const answered = Promise.race([
        once(helper.stdout, 'data'),
        once(helper, 'exit').then(() => {
          throw new Error('cat ended early');
        }),
      ]);
      helper.stdin.write('x\n');
      await answered;
    };
    // Its answer says that it is past its own start.
    await echo();
    await writeFile(`/proc/${pid}/clear_refs`, '4');
    await echo();
    return await stackIsMarked(pid);
  } finally {
    helper.kill('SIGKILL');
  }
}

async function stackIsMarked(pid: number): Promise<boolean> {
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8');
  const match = /^([0-9a-f]+)-([0-9a-f]+) .*\[stack\]$/m.exec(maps);
  if (match?.[1] === undefined || match[2] === undefined) throw new Error('cat shows no stack');
  const start = Number.parseInt(match[1], 16) / PAGE;
  const entries = Buffer.alloc((Number.parseInt(match[2], 16) / PAGE - start) * 8);
  const pagemap = await open(`/proc/${pid}/pagemap`, 'r');
  try {
    await pagemap.read(entries, 0, entries.length, start * 8);
  } finally {
    await pagemap.close();
  }
  for (let at = 0; at < entries.length; at += 8) {
    if ((entries.readBigUInt64LE(at) & SOFT_DIRTY) !== 0n) return true;
  }
  return false;
}
