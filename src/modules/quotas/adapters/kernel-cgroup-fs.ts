import { constants, watch } from 'node:fs';
import { mkdir, open, readdir, readFile, rmdir } from 'node:fs/promises';
import { errnoOf } from '../../../common/errors/domain-error';
import { cgroupMount } from '../domain/mountinfo';
import { CgroupFs } from '../ports/cgroup-fs';

export class KernelCgroupFs extends CgroupFs {
  async mountPoint(): Promise<string | undefined> {
    return cgroupMount(await readFile('/proc/self/mountinfo', 'utf8'));
  }

  async create(dir: string): Promise<void> {
    await mkdir(dir).catch(unless('EEXIST'));
  }

  async remove(dir: string): Promise<void> {
    await rmdir(dir).catch(unless('ENOENT'));
  }

  async children(dir: string): Promise<string[]> {
    const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }

  read(file: string): Promise<string> {
    return readFile(file, 'utf8');
  }

  async write(file: string, text: string): Promise<void> {
    const handle = await open(file, constants.O_WRONLY);
    try {
      await handle.write(text);
    } finally {
      await handle.close();
    }
  }

  watch(file: string, changed: () => void): () => void {
    const watcher = watch(file, { persistent: false }, changed);
    // The end of the group ends the watch as well.
    watcher.on('error', () => {
      watcher.close();
    });
    return () => {
      watcher.close();
    };
  }
}

function unless(code: string): (error: unknown) => void {
  return (error) => {
    if (errnoOf(error) !== code) throw error;
  };
}
