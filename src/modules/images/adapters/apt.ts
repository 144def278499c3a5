import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../../common/errors/domain-error';
import { ProcessError, type RunOptions, type RunResult } from '../../../common/os/run-process';
import { downloadArgument, parsePrintUris, type PackageFile } from '../domain/apt-output';
import type { ToolName } from '../domain/tools';
import { AptLists, OutdatedListsError } from './apt-lists';
import type { BuildContext } from './build-context';
import { runTool } from './run-tool';

const KERNEL_META_PACKAGE = 'linux-image-cloud-amd64';
const DOWNLOAD_TIMEOUT_MS = 30 * 60_000;
const QUERY_TIMEOUT_MS = 2 * 60_000;

/** Packages of the host's distribution, taken with apt but never installed. Works without root. */
export class Apt {
  private readonly archives: string;
  private readonly lists: AptLists;

  /** @param directory keeps downloads between builds. */
  constructor(private readonly directory: string) {
    // Not apt's own place for archives: what lies there is left out of the list of what has to be downloaded.
    this.archives = join(directory, 'packages');
    this.lists = new AptLists(directory);
  }

  /** The package with the distribution's kernel for virtual machines. */
  async kernelPackage(signal: AbortSignal | undefined): Promise<PackageFile> {
    await this.prepare();
    const meta = await this.query('apt-cache', ['depends', KERNEL_META_PACKAGE], signal);
    const name = /^\s+Depends: (linux-image-\S+)$/m.exec(meta.stdout)?.[1];
    if (name === undefined) throw unknownPackage(KERNEL_META_PACKAGE);
    const uris = await this.query('apt-get', ['download', '--print-uris', name], signal);
    const file = parsePrintUris(uris.stdout)[0];
    if (file === undefined) throw unknownPackage(name);
    return file;
  }

  /** What it takes to install the packages on an empty system, dependencies included. */
  async resolve(packages: readonly string[], signal: AbortSignal | undefined): Promise<PackageFile[]> {
    await this.prepare();
    const { stdout } = await this.query(
      'apt-get',
      ['install', '--print-uris', '--yes', '--no-install-recommends', ...packages],
      signal,
    );
    return parsePrintUris(stdout);
  }

  /** Downloads and verifies packages that are not there yet; returns their paths in the order given. */
  async download(files: readonly PackageFile[], context: BuildContext): Promise<string[]> {
    await this.prepare();
    const present = new Set(await readdir(this.archives));
    const wanted = files.filter((file) => !present.has(file.fileName));
    if (wanted.length > 0) {
      const target = join(context.workDir, 'download');
      await mkdir(target);
      let done = 0;
      const report = (): void => {
        context.onProgress({ step: 'download packages', done, total: wanted.length, unit: 'packages' });
      };
      report();
      await this.apt('apt-get', ['download', ...wanted.map(downloadArgument)], {
        cwd: target,
        timeoutMs: DOWNLOAD_TIMEOUT_MS,
        ...(context.signal && { signal: context.signal }),
        onLine: (line) => {
          if (!line.startsWith('Get:')) return;
          done += 1;
          report();
        },
      });
      for (const file of wanted)
        await rename(join(target, file.fileName), join(this.archives, file.fileName));
    }
    return files.map((file) => join(this.archives, file.fileName));
  }

  /** Fetches package lists of our own, which takes no root. */
  async refresh(signal: AbortSignal | undefined): Promise<void> {
    await this.prepare();
    await this.lists.prepare();
    await this.run('apt-get', ['update'], this.lists.ownPath, {
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
      ...(signal && { signal }),
    });
  }

  private async prepare(): Promise<void> {
    await mkdir(this.archives, { recursive: true });
    // Nothing is installed on the system that apt resolves for.
    await writeFile(join(this.directory, 'status'), '');
  }

  private query(
    tool: ToolName,
    args: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<RunResult> {
    return this.apt(tool, args, { timeoutMs: QUERY_TIMEOUT_MS, ...(signal && { signal }) });
  }

  private async apt(tool: ToolName, args: readonly string[], options: RunOptions): Promise<RunResult> {
    return this.run(tool, args, await this.lists.path(), options);
  }

  private async run(
    tool: ToolName,
    args: readonly string[],
    lists: string,
    options: RunOptions,
  ): Promise<RunResult> {
    const settings = [
      `Dir::State::lists=${lists}`,
      `Dir::State::status=${join(this.directory, 'status')}`,
      `Dir::Cache=${this.directory}`,
      // Our own lock covers this directory, and the host's are neither needed nor ours to take.
      'Debug::NoLocking=1',
      // As root, apt would download as a user that cannot write to our directory.
      'APT::Sandbox::User=root',
    ];
    try {
      // `undefined` inherits the environment, which may name a proxy.
      return await runTool(tool, [...settings.flatMap((setting) => ['-o', setting]), ...args], {
        ...options,
        env: undefined,
      });
    } catch (error) {
      if (error instanceof ProcessError) throw explain(error);
      throw error;
    }
  }
}

function unknownPackage(name: string): OutdatedListsError {
  return new OutdatedListsError(`apt offers no package ${name} (images are built of Debian's packages)`);
}

function explain(error: ProcessError): DomainError {
  const reason = /^E: (.*)$/m.exec(error.stderr)?.[1]?.trim() ?? error.message;
  const text = `packages cannot be had: ${reason}`;
  // A mirror drops the versions it has replaced.
  const outdated = /\b404\b|unable to locate|no installation candidate|was not found|no packages found/i;
  if (outdated.test(error.stderr)) return new OutdatedListsError(text, { cause: error });
  return new DomainError('unavailable', `${text}; check the network and apt's sources, then build again`, {
    cause: error,
  });
}
