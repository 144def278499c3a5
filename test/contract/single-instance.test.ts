import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DaemonProcesses } from '../support/daemon-process';

let daemons: DaemonProcesses;
beforeEach(async () => {
  daemons = await DaemonProcesses.create();
});
afterEach(async () => {
  await daemons.close();
});

const elsewhere = (flag: 'state' | 'run-dir'): string[] =>
  flag === 'state' ? ['--state', daemons.path('other/state.json')] : ['--run-dir', daemons.path('other/run')];

describe('a second daemon', () => {
  const refused = async (args: string[], text: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await daemons.run(['serve', ...args]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^forkd-controller: [^\n]+\n$/);
    assert.match(stderr, text);
  };

  it('on the same state file or the same run directory is refused, naming the first', async () => {
    const { child } = await daemons.serve();
    const holder = `another daemon, process ${child.pid ?? 0}, uses`;
    await refused([], new RegExp(`${holder} --state .*lib/state\\.json: stop it first`));
    await refused(elsewhere('run-dir'), new RegExp(`${holder} --state .*lib/state\\.json`));
    await refused(elsewhere('state'), new RegExp(`${holder} --run-dir .*/run: stop it first`));
    await symlink(daemons.path('lib'), daemons.path('alias'));
    await refused(
      ['--state', daemons.path('alias/state.json'), ...elsewhere('run-dir')],
      new RegExp(`${holder} --state .*alias/state\\.json`),
    );
  });

  it('has changed nothing when it is refused', async () => {
    await daemons.serve();
    const state = daemons.path('lib/state.json');
    await writeFile(state, 'what the first one is about to replace');
    await mkdir(daemons.path('run/sb-aaaa-0001'));
    await refused(['--audit-log', daemons.path('second.log')], /another daemon/);
    assert.equal(await readFile(state, 'utf8'), 'what the first one is about to replace');
    await stat(daemons.path('run/sb-aaaa-0001'));
    await assert.rejects(stat(daemons.path('second.log')), /ENOENT/);
  });

  it('on the same snapshot root is refused, as it would clean up what the first one is writing', async () => {
    const { child } = await daemons.serve();
    await refused(
      [...elsewhere('state'), ...elsewhere('run-dir')],
      new RegExp(
        `another daemon, process ${child.pid ?? 0}, uses --snapshot-root .*/snapshots: stop it first`,
      ),
    );
  });

  it('with a state file, a run directory and a snapshot root of its own starts', async () => {
    await daemons.serve();
    const snapshots = ['--snapshot-root', daemons.path('other/snapshots')];
    await daemons.serve([...elsewhere('state'), ...elsewhere('run-dir'), ...snapshots]);
  });
});

describe('the lock', () => {
  it('ends with its holder, killed or stopped', async () => {
    for (const signal of ['SIGKILL', 'SIGTERM', 'SIGKILL'] as const) {
      const daemon = await daemons.serve();
      await daemon.end(signal);
    }
    await daemons.serve();
  });

  it('goes to exactly one of several that start at once, also after a kill', async () => {
    await (await daemons.serve()).end('SIGKILL');
    const starts = await Promise.allSettled(
      Array.from({ length: 4 }, () => daemons.serve([], { FORKD_LOG: 'info' })),
    );
    assert.equal(starts.filter(({ status }) => status === 'fulfilled').length, 1);
  });

  it('of an earlier boot, or of a process whose pid was given out again, is no lock', async () => {
    await mkdir(daemons.path('lib'));
    for (const identity of [
      { pid: process.pid, startTime: '1', bootId: '00000000-0000-0000-0000-000000000000' },
      'not JSON',
    ]) {
      await writeFile(daemons.path('lib/state.json.lock'), JSON.stringify(identity));
      await (await daemons.serve()).end('SIGTERM');
    }
  });

  it('that was removed under a daemon is taken anew by the next, not shared with it', async () => {
    const first = await daemons.serve();
    const ended = once(first.child, 'exit');
    await rm(daemons.path('lib/state.json.lock'));
    const { code, stderr } = await daemons.run(['serve']);
    assert.equal(code, 1);
    assert.match(stderr, /--run-dir/);
    first.child.kill('SIGTERM');
    await ended;
  });
});
