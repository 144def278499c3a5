import { constants } from 'node:fs';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, parse, join } from 'node:path';
import { errnoOf } from '../../../common/errors/domain-error';
import { syncPath } from '../../../common/os/atomic-file';
import { StateFile } from '../ports/state-file';

const WRITE_ANEW = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

/** The registry in a file of mode 0600, written to a `.json.tmp` sibling first. */
export class DiskStateFile extends StateFile {
  private readonly temporary: string;
  /** What the file has; undefined when it is absent or was never read. */
  private current: string | undefined;

  constructor(override readonly path: string) {
    super();
    const { dir, name } = parse(path);
    this.temporary = join(dir, `${name}.json.tmp`);
  }

  override async read(): Promise<string | undefined> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o750 });
    try {
      this.current = await readFile(this.path, 'utf8');
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    // What a daemon that was killed did not finish. Where it cannot be removed, no write will work either, which is told then.
    await rm(this.temporary, { force: true }).catch(() => undefined);
    return this.current;
  }

  override async replace(text: string): Promise<void> {
    await this.put(text);
    try {
      await syncPath(dirname(this.path));
    } catch (error) {
      // It is told to have failed, so the next start must not find it. What was there before is durable.
      await (this.current === undefined ? rm(this.path, { force: true }) : this.put(this.current));
      throw error;
    }
    this.current = text;
  }

  private async put(text: string): Promise<void> {
    try {
      const file = await open(this.temporary, WRITE_ANEW, 0o600);
      try {
        // The mode above does not apply to what a crash has left behind.
        await file.chmod(0o600);
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(this.temporary, this.path);
    } catch (error) {
      await rm(this.temporary, { force: true });
      throw error;
    }
  }
}
