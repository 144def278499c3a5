import { Injectable } from '@nestjs/common';
import { KeyedMutex } from '../../common/lifecycle/keyed-mutex';
import type { FileSeal } from './domain/manifest';
import { sealOf } from './snapshot-store';

/** Tells whether files are still what was written, and reads each at most once for that. */
@Injectable()
export class FileVerifierService {
  private readonly verifying = new KeyedMutex();
  /** Files that were read and found right, by path; one whose seal changed is read again. */
  private readonly verified = new Map<string, FileSeal>();

  /**
   * Whether the file is the one that was written: by its seal, else by reading it with `isRight`. Many who ask at once
   * wait for the one reading.
   */
  async holds(
    path: string,
    written: FileSeal | undefined,
    isRight: () => Promise<boolean>,
  ): Promise<boolean> {
    const seal = await sealOf(path);
    if (this.isKnown(path, seal, written)) return true;
    return this.verifying.runExclusive(path, async () => {
      if (this.isKnown(path, seal, written)) return true;
      if (!(await isRight())) return false;
      this.verified.set(path, seal);
      return true;
    });
  }

  /** Forgets what lies below a directory that was removed. */
  forget(dir: string): void {
    for (const path of this.verified.keys()) if (path.startsWith(`${dir}/`)) this.verified.delete(path);
  }

  private isKnown(path: string, seal: FileSeal, written: FileSeal | undefined): boolean {
    const known = this.verified.get(path);
    return (written !== undefined && seals(written, seal)) || (known !== undefined && seals(known, seal));
  }
}

function seals(one: FileSeal, other: FileSeal): boolean {
  return one.ino === other.ino && one.mtime_ns === other.mtime_ns && one.bytes === other.bytes;
}
