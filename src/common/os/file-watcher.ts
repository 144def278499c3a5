import { type FSWatcher, watch } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { basename, isAbsolute, join, sep } from 'node:path';
import { errnoOf } from '../errors/domain-error';

/** Events come in bursts, and a file that is written in place is empty for a moment. */
const SETTLE_MS = 100;
/** The kernel's limit for symbolic links in one path. */
const MAX_LINKS = 40;

export interface FileWatcherListener {
  /** One of the files may have another content now. Also called once when watching has begun. Must not throw. */
  readonly changed: () => void;
  /** Changes go unnoticed from now on, e.g. for lack of inotify watches. */
  readonly failed: (error: unknown) => void;
}

/**
 * Tells when files may have changed, however that is done: written in place, replaced by a rename, or behind a symbolic link
 * that was switched over anywhere in their path. It watches directories, as a watch on a file would end with that file.
 */
export class FileWatcher {
  private watchers: FSWatcher[] = [];
  private timer: NodeJS.Timeout | undefined;
  private work: Promise<void> = Promise.resolve();
  private closed = false;

  /** @param paths absolute; they need not exist. */
  constructor(
    private readonly paths: readonly string[],
    private readonly listener: FileWatcherListener,
  ) {
    this.examine();
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.disarm();
  }

  private wake(): void {
    if (this.closed) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.examine();
    }, SETTLE_MS).unref();
  }

  private examine(): void {
    this.work = this.work.then(async () => {
      try {
        await this.arm();
      } catch (error) {
        this.listener.failed(error);
      }
      // After arming, so that no change falls between the look and the watch.
      if (!this.closed) this.listener.changed();
    });
  }

  private async arm(): Promise<void> {
    const places = new Map<string, Set<string>>();
    for (const path of this.paths) await addPlaces(places, path);
    if (this.closed) return;
    // All of them anew: an old watch may be on a directory that has lost its name to another.
    this.disarm();
    for (const [dir, names] of places) this.watchDirectory(dir, names);
  }

  private watchDirectory(dir: string, names: ReadonlySet<string>): void {
    try {
      const watcher = watch(dir, { persistent: false }, (_event, name) => {
        // Its own name stands for the directory being moved or removed.
        if (name === null || names.has(name) || name === basename(dir)) this.wake();
      });
      watcher.on('error', () => {
        this.wake();
      });
      this.watchers.push(watcher);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      // It vanished since it was looked up.
      this.wake();
    }
  }

  private disarm(): void {
    for (const watcher of this.watchers) watcher.close();
    this.watchers = [];
  }
}

/**
 * Adds, by directory, the names whose change can make the path lead to another file: that of the file and those of all
 * symbolic links on the way; where the path leads nowhere, the first name that is missing.
 */
async function addPlaces(places: Map<string, Set<string>>, path: string): Promise<void> {
  let at = '/';
  let rest = namesIn(path);
  let links = 0;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const next = join(at, name);
    const found = await entryAt(next);
    if (rest.length === 0 || found !== 'other') {
      const names = places.get(at) ?? new Set<string>();
      places.set(at, names.add(name));
    }
    if (found === 'other') {
      at = next;
      continue;
    }
    links += 1;
    if (found === 'absent' || links > MAX_LINKS) return;
    const target = isAbsolute(found.target) ? found.target : join(at, found.target);
    rest = namesIn(join(target, ...rest));
    at = '/';
  }
}

function namesIn(path: string): string[] {
  return path.split(sep).filter((name) => name !== '');
}

async function entryAt(path: string): Promise<{ target: string } | 'other' | 'absent'> {
  try {
    return { target: await readlink(path) };
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'EINVAL') return 'other';
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'absent';
    throw error;
  }
}
