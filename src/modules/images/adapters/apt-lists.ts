import type { Stats } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../../common/errors/domain-error';

const HOST_LISTS = '/var/lib/apt/lists';

/** The package lists are missing, or older than what the mirror offers now. */
export class OutdatedListsError extends DomainError {
  constructor(reason: string, options?: ErrorOptions) {
    super('unavailable', `${reason}; run \`apt-get update\` as root, then build again`, options);
  }
}

/** Which package lists apt reads: the host's, or our own where those were fetched later. */
export class AptLists {
  /** Our own; fetching them takes no root. */
  readonly ownPath: string;

  constructor(directory: string) {
    this.ownPath = join(directory, 'lists');
  }

  /** @throws OutdatedListsError when there are none. */
  async path(): Promise<string> {
    const [own, host] = [await fetchedAt(this.ownPath), await fetchedAt(HOST_LISTS)];
    if (own === undefined && host === undefined) {
      throw new OutdatedListsError("the distribution's package lists are not on this machine");
    }
    return (own ?? 0) > (host ?? 0) ? this.ownPath : HOST_LISTS;
  }

  /** Creates the directory for our own. */
  async prepare(): Promise<void> {
    await mkdir(join(this.ownPath, 'partial'), { recursive: true });
  }
}

/** When lists were last fetched, in ms; undefined when there are none. */
async function fetchedAt(path: string): Promise<number | undefined> {
  const names = await readdir(path).catch(() => []);
  if (!names.some((name) => name.includes('_Packages'))) return undefined;
  // The files carry the mirror's times; apt touches the directories.
  const stats = await Promise.all([stat(path), stat(join(path, 'partial')).catch(() => undefined)]);
  return Math.max(
    ...stats.filter((entry): entry is Stats => entry !== undefined).map((entry) => entry.mtimeMs),
  );
}
