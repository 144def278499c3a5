import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ProcessError, runProcess } from '../../../src/common/os/run-process';
import { TOOL_PACKAGES } from '../../../src/modules/images/domain/tools';

interface Requirement {
  readonly package: string;
  readonly commands: readonly string[];
  readonly reason: string;
  readonly suits?: (path: string) => boolean;
}

interface PackagesModule {
  readonly REQUIREMENTS: readonly Requirement[];
  readonly findCommand: (command: string, path?: string) => string | undefined;
  readonly missingRequirements: (
    requirements?: readonly Requirement[],
    find?: (command: string) => string | undefined,
  ) => Promise<Requirement[]>;
  readonly isGoVersionRecent: (text: string) => boolean;
}

interface AptModule {
  readonly areListsOutdated: (output: string) => boolean;
  readonly listsState: (directory: string, now?: number) => string;
}

interface OtherModules {
  readonly checkMachine: (machine: { platform: string; arch: string; nodeVersion: string }) => string;
  readonly isInstalled: (root: string, lock: string) => boolean;
  readonly sourcesHash: (root: string) => string;
}

/** The set-up is plain JavaScript outside the TypeScript project, so its types are said here. */
async function load(name: string): Promise<unknown> {
  return import(pathToFileURL(join(process.cwd(), 'setup/lib', `${name}.mjs`)).href);
}

describe('set-up: distribution packages', () => {
  it('cover every tool the image builder needs and Debian does not always have', async () => {
    const { REQUIREMENTS } = (await load('packages')) as PackagesModule;
    const essential = new Set(['apt', 'dpkg', 'libc-bin']);
    const known = new Map(
      REQUIREMENTS.flatMap((entry) => entry.commands.map((command) => [command, entry.package])),
    );
    for (const [tool, name] of Object.entries(TOOL_PACKAGES)) {
      if (!essential.has(name)) assert.equal(known.get(tool), name);
    }
  });

  it('are missing when one of their commands is, or does not suit', async () => {
    const { missingRequirements } = (await load('packages')) as PackagesModule;
    const both = { package: 'e2fsprogs', commands: ['mke2fs', 'debugfs'], reason: '' };
    const unsuitable = { package: 'go', commands: ['go'], reason: '', suits: () => false };
    const names = async (there: string[]): Promise<string[]> =>
      (
        await missingRequirements([both, unsuitable], (command) =>
          there.includes(command) ? `/bin/${command}` : undefined,
        )
      ).map((entry) => entry.package);
    assert.deepEqual(await names(['mke2fs', 'debugfs']), ['go']);
    assert.deepEqual(await names(['mke2fs', 'go']), ['e2fsprogs', 'go']);
  });

  it('find commands in sbin too, and a Go that is too old', async () => {
    const { findCommand, isGoVersionRecent } = (await load('packages')) as PackagesModule;
    assert.match(findCommand('ldconfig', '/nonexistent') ?? '', /\/sbin\/ldconfig$/);
    assert.equal(findCommand('forkd-no-such-command'), undefined);
    assert.equal(isGoVersionRecent('go version go1.18.10 linux/amd64'), false);
    assert.equal(isGoVersionRecent('go version go1.19 linux/amd64'), true);
    assert.equal(isGoVersionRecent('go version go1.25.3 linux/amd64'), true);
    assert.equal(isGoVersionRecent('devel'), false);
  });
});

describe('set-up: package lists', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-lists-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('are missing, fresh, or older than a week', async () => {
    const { listsState } = (await load('apt')) as AptModule;
    assert.equal(listsState(join(directory, 'none')), 'missing');
    assert.equal(listsState(directory), 'missing');
    await writeFile(join(directory, 'mirror_main_binary-amd64_Packages.lz4'), '');
    assert.equal(listsState(directory), 'fresh');
    const day = 24 * 60 * 60;
    const now = Date.now();
    await utimes(directory, now / 1000 - 8 * day, now / 1000 - 8 * day);
    assert.equal(listsState(directory, now), 'old');
  });

  it('are fetched again when a download fails because of them', async () => {
    const { areListsOutdated } = (await load('apt')) as AptModule;
    assert.equal(areListsOutdated('E: Failed to fetch http://m/x.deb  404  Not Found'), true);
    assert.equal(areListsOutdated('E: Unable to locate package lz4'), true);
    assert.equal(areListsOutdated('E: Could not get lock /var/lib/dpkg/lock'), false);
  });
});

describe('set-up: checks', () => {
  let directory = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-setup-test-'));
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('accept only Linux on x86-64 with a recent Node', async () => {
    const { checkMachine } = (await load('machine')) as OtherModules;
    const good = { platform: 'linux', arch: 'x64', nodeVersion: '20.19.0' };
    assert.match(checkMachine(good), /Node 20\.19\.0/);
    assert.match(checkMachine({ ...good, nodeVersion: '24.0.0' }), /Node 24/);
    assert.throws(() => checkMachine({ ...good, nodeVersion: '20.18.1' }), /Node 20\.19 or later is needed/);
    assert.throws(() => checkMachine({ ...good, platform: 'darwin', arch: 'arm64' }), /darwin on arm64/);
  });

  it('see whether npm has installed what the lock file says', async () => {
    const { isInstalled } = (await load('npm')) as OtherModules;
    const lock = JSON.stringify({
      packages: {
        '': { version: '1.0.0' },
        'node_modules/a': { version: '1.0.0' },
        'node_modules/b': { version: '2.0.0', optional: true },
      },
    });
    const record = (packages: object): Promise<void> =>
      writeFile(join(directory, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));
    assert.equal(isInstalled(directory, lock), false);
    await mkdir(join(directory, 'node_modules'));
    await record({ 'node_modules/a': { version: '1.0.0' } });
    assert.equal(isInstalled(directory, lock), true);
    await record({ 'node_modules/a': { version: '1.0.1' } });
    assert.equal(isInstalled(directory, lock), false);
    await record({});
    assert.equal(isInstalled(directory, lock), false);
  });

  it('see a change of any source by its content, not by its time', async () => {
    const { sourcesHash } = (await load('build')) as OtherModules;
    await mkdir(join(directory, 'src'));
    const file = join(directory, 'src/main.ts');
    await writeFile(file, 'one');
    const before = sourcesHash(directory);
    await utimes(file, 1, 1);
    assert.equal(sourcesHash(directory), before);
    await writeFile(file, 'two');
    assert.notEqual(sourcesHash(directory), before);
  });
});

describe('set-up: command line', () => {
  const setup = (args: string[]): ReturnType<typeof runProcess> =>
    runProcess(process.execPath, [join(process.cwd(), 'setup/setup.mjs'), ...args], { timeoutMs: 60_000 });

  it('explains itself', async () => {
    assert.match((await setup(['--help'])).stdout, /--for run\|test\|bench/);
  });

  it('refuses what it does not know', async () => {
    for (const args of [['--for', 'fun'], ['--frobnicate'], ['extra']]) {
      await assert.rejects(setup(args), (error) => {
        assert.ok(error instanceof ProcessError);
        assert.equal(error.exitCode, 2);
        assert.match(error.stderr, /usage: /);
        return true;
      });
    }
  });
});
