import assert from 'node:assert/strict';
import { watch } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CliError, ExitCode } from '../../../src/modules/cli/errors';
import { Output } from '../../../src/modules/cli/output/output';
import type { QuickstartContext } from '../../../src/modules/cli/quickstart/context';
import { useDaemon } from '../../../src/modules/cli/quickstart/daemon-use';
import { down } from '../../../src/modules/cli/quickstart/down';
import { quickstartLayout } from '../../../src/modules/cli/quickstart/layout';
import { goneWithin, identify, isAlive } from '../../../src/modules/cli/quickstart/process-identity';
import { readDaemonRecord, takeLock, writeRecord } from '../../../src/modules/cli/quickstart/record-file';

describe("the quickstart's daemon", () => {
  let directory: string;
  let interrupt: AbortController;
  const nothing = (): void => undefined;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-quickstart-'));
    interrupt = new AbortController();
  });
  afterEach(async () => {
    await down(context(), false);
    await rm(directory, { recursive: true, force: true });
  });

  function context(behaviour = 'answers'): QuickstartContext {
    const silent = { write: nothing };
    return {
      layout: quickstartLayout({ XDG_DATA_HOME: directory }),
      installation: {
        root: directory,
        version: '0.5.3',
        daemonEntry: join(__dirname, 'daemon-stand-in.js'),
        imageToolEntry: '',
      },
      output: new Output({ json: false, quiet: true, color: false }, silent, silent),
      env: { ...process.env, FORKD_ENGINE: behaviour, FORKD_TOKEN_FILE: '/of/another/daemon' },
      signal: interrupt.signal,
    };
  }

  it('is started, found again, and stopped with its VMs', async () => {
    const port = await freePort();
    const { value: started } = await useDaemon(context(), port, nothing);
    assert.equal(started.port, port);
    assert.equal(await isAlive(started), true);
    assert.deepEqual(await readDaemonRecord(context().layout.daemonRecord), started);
    const log = await readFile(context().layout.daemonLog, 'utf8');
    assert.match(log, /settings from outside: none/);

    const again = await useDaemon(context(), undefined, nothing);
    assert.deepEqual(again.value, started);

    const result = await down(context(), false);
    assert.deepEqual(result, { daemonStopped: true, sandboxesDeleted: 1, purged: [] });
    assert.equal(await isAlive(started), false);
    assert.deepEqual((await readdir(context().layout.home)).sort(), ['daemon.log']);
    assert.deepEqual(await down(context(), false), { daemonStopped: false, sandboxesDeleted: 0, purged: [] });
  });

  it('stays on its port', async () => {
    await useDaemon(context(), await freePort(), nothing);
    await assert.rejects(
      useDaemon(context(), await freePort(), nothing),
      (error) =>
        error instanceof CliError && error.exitCode === ExitCode.conflict && /already/.test(error.message),
    );
  });

  it('that dies at its start is reported with the end of its log', async () => {
    await assert.rejects(useDaemon(context('dies'), await freePort(), nothing), (error) => {
      assert.ok(error instanceof CliError);
      assert.match(error.message, /it ended with code 3/);
      assert.match(error.hint ?? '', /the reason of its death[\s\S]*run this again/);
      return true;
    });
    assert.deepEqual(await readdir(context().layout.home), ['daemon.log']);
  });

  it('is ended when its start is interrupted', async () => {
    const { home } = context().layout;
    await mkdir(home, { recursive: true });
    const watcher = watch(home, (event, name) => {
      // Its first line is in the log, so it runs.
      if (event === 'change' && name === 'daemon.log') interrupt.abort(new Error('interrupted'));
    });
    try {
      await assert.rejects(useDaemon(context('deaf'), await freePort(), nothing), /interrupted/);
    } finally {
      watcher.close();
    }
    assert.equal(await readDaemonRecord(context().layout.daemonRecord), undefined);
  });

  it('does not take a port that another program has', async () => {
    const other = createServer();
    const port = await listen(other);
    try {
      await assert.rejects(
        useDaemon(context(), port, nothing),
        (error) =>
          error instanceof CliError &&
          error.exitCode === ExitCode.conflict &&
          error.message.includes(`port ${port} is taken by another program`) &&
          /--port/.test(error.hint ?? ''),
      );
    } finally {
      other.close();
    }
  });

  it('is never mistaken for a process that has got its pid', async () => {
    const own = await identify(process.pid);
    assert.ok(own);
    await writeRecord(context().layout.daemonRecord, { ...own, startTime: '1', port: await freePort() });
    const result = await down(context(), false);
    assert.equal(result.daemonStopped, false);
  });

  it('is started once more to end the VMs of one that was killed', async () => {
    const port = await freePort();
    const { value: first } = await useDaemon(context(), port, nothing);
    process.kill(first.pid, 'SIGKILL');
    assert.equal(await goneWithin(first, 10_000), true);
    await writeFile(context().layout.state, JSON.stringify({ sandboxes: { 'sb-1': {} } }));
    const result = await down(context(), false);
    assert.deepEqual(result, { daemonStopped: true, sandboxesDeleted: 1, purged: [] });
  });

  it('has one quickstart at a time, and a dead one does not count', async () => {
    const { lock } = context().layout;
    const unlock = await takeLock(lock);
    await assert.rejects(takeLock(lock), /another quickstart is at work/);
    await unlock();
    await writeFile(lock, JSON.stringify({ pid: process.pid, startTime: '1', bootId: 'x' }));
    await (
      await takeLock(lock)
    )();
    await assert.rejects(readFile(lock), /ENOENT/);
  });
});

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  return port;
}
