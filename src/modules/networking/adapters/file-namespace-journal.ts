import { mkdir, readFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { bootId } from '../../../common/os/proc';
import { writeFileAtomic } from '../../../common/os/atomic-file';
import { NamespaceJournal } from '../ports/namespace-journal';

/** A file in the run directory; it is gone when there is nothing to remember. */
export class FileNamespaceJournal extends NamespaceJournal {
  constructor(private readonly path: string) {
    super();
  }

  async read(): Promise<readonly number[]> {
    try {
      const { boot, slots } = JSON.parse(await readFile(this.path, 'utf8')) as Record<string, unknown>;
      // Namespaces do not outlive the kernel; those of the same names now are somebody else's.
      if (boot !== (await bootId()) || !Array.isArray(slots)) return [];
      return slots.filter((slot): slot is number => Number.isInteger(slot));
    } catch {
      return [];
    }
  }

  async write(slots: readonly number[]): Promise<void> {
    if (slots.length === 0) {
      await rm(this.path, { force: true });
      return;
    }
    await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
    await writeFileAtomic(this.path, JSON.stringify({ boot: await bootId(), slots }), 0o600);
  }
}
