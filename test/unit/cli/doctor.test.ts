import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { runCheck, type CheckResult } from '../../../src/modules/cli/doctor/check';
import { daemonProcess, flagsOf } from '../../../src/modules/cli/doctor/daemon-process';
import { atLeast, cgroupMount, strays, versionIn, vmBelow } from '../../../src/modules/cli/doctor/parse';
import { wrap } from '../../../src/modules/cli/output/format';
import { ContractServer } from './contract-server';
import { runCli, type CliRun } from './run-cli';

interface Report {
  readonly ok: boolean;
  readonly checks: CheckResult[];
}

describe('forkd doctor', () => {
  let server: ContractServer;
  let home: string;
  const doctor = (args: string[] = [], env: Record<string, string> = {}, url = server.url): Promise<CliRun> =>
    runCli(['doctor', '--url', url, ...args], {
      env: { XDG_DATA_HOME: home, FORKD_RUN_DIR: join(home, 'run'), ...env },
    });
  const report = async (args: string[] = [], env: Record<string, string> = {}): Promise<Report> =>
    JSON.parse((await doctor(['--json', ...args], env)).stdout) as Report;
  const named = ({ checks }: Report, name: string): CheckResult => {
    const found = checks.find((check) => check.name === name);
    assert.ok(found, name);
    return found;
  };

  beforeEach(async () => {
    server = await ContractServer.start();
    home = await mkdtemp(join(tmpdir(), 'fkd-'));
  });
  afterEach(async () => {
    await server.stop();
    await rm(home, { recursive: true, force: true });
  });

  it('tells each part with a state and a detail, what fails with a fix, and leaves nothing behind', async () => {
    const all = await report();
    const parts = 'node qemu kvm cgroup soft-dirty ptrace clock images snapshot-disk image-disk reflink';
    assert.deepEqual(
      all.checks.map((check) => check.name),
      [...parts.split(' '), 'daemon', 'version', 'token', 'leftovers'],
    );
    for (const { status, detail, fix } of all.checks) {
      assert.match(status, /^(pass|warn|fail)$/);
      assert.notEqual(detail, '');
      if (status === 'fail') assert.notEqual(fix ?? '', '');
      assert.doesNotMatch(detail, /could not be found out/);
    }
    assert.equal(named(all, 'node').status, 'pass');
    assert.equal(named(all, 'daemon').status, 'pass');
    assert.equal(named(all, 'version').status, 'pass');
    assert.equal(
      all.ok,
      all.checks.every((check) => check.status !== 'fail'),
    );
    assert.deepEqual(await readdir(home), []);
  });

  it('exits 1 when something fails, and says how to put it right', async () => {
    const { url } = server;
    await server.stop();
    const run = await doctor([], {}, url);
    assert.equal(run.code, 1);
    assert.match(run.stdout, /\nfail {2}daemon +.*nothing listens there\n +fix: node .*main\.js serve\n/);
    server = await ContractServer.start();
  });

  it('--quiet prints the names of what did not pass', async () => {
    const all = await report();
    const expected = all.checks.filter(({ status }) => status !== 'pass').map(({ name }) => `${name}\n`);
    assert.equal((await doctor(['--quiet'])).stdout, expected.join(''));
  });

  it('finds a QEMU that is missing', async () => {
    const found = named(await report(['--qemu', '/nonexistent/qemu']), 'qemu');
    assert.equal(found.status, 'fail');
    assert.match(String(found.fix), /apt-get install/);
  });

  it('finds another version, a missing token and a daemon that answers with an error', async () => {
    server.override = ({ url }) =>
      url === '/version' ? { status: 200, body: { version: '9.9.9', api: 'v1' } } : undefined;
    assert.match(named(await report(), 'version').detail, /daemon is 9\.9\.9/);
    server.override = ({ url }) =>
      url === '/v1/sandboxes' ? { status: 500, body: { error: 'no' } } : undefined;
    assert.match(named(await report(), 'daemon').detail, /answers, but: no/);
    server.override = undefined;
    server.token = 'correct-horse-battery';
    const closed = named(await report(), 'daemon');
    assert.deepEqual([closed.status, /--token-file/.test(String(closed.fix))], ['fail', true]);
  });

  it('finds a token that others can read, and never shows it', async () => {
    const path = join(home, 'token');
    await writeFile(path, 'secret-0123456789');
    await chmod(path, 0o644);
    const run = await doctor(['--json'], { FORKD_TOKEN_FILE: path });
    assert.equal(run.stdout.includes('secret-0123456789'), false);
    const open = named(JSON.parse(run.stdout) as Report, 'token');
    assert.deepEqual([open.status, open.fix], ['warn', `chmod 600 ${path}`]);
    await chmod(path, 0o600);
    assert.equal(named(await report([], { FORKD_TOKEN_FILE: path }), 'token').status, 'pass');
  });

  it('lists the images of the image root', async () => {
    assert.match(String(named(await report(), 'images').fix), /forkd image build python/);
  });

  it('refuses a setting that the daemon would refuse', async () => {
    const run = await doctor(['--run-dir', `/${'x'.repeat(100)}`]);
    assert.deepEqual([run.code, run.stdout], [2, '']);
    assert.match(run.stderr, /--run-dir/);
  });

  it('does not look for processes of a daemon elsewhere', async () => {
    const found = named(await report(['--url', 'http://192.0.2.1:1']), 'leftovers');
    assert.match(found.detail, /another machine/);
  });
});

describe('the parts of doctor', () => {
  it('a check that cannot be carried out is a warning', async () => {
    const run = (): Promise<never> => Promise.reject(new Error('EACCES'));
    const found = await runCheck({ name: 'x', run });
    assert.deepEqual(found, { name: 'x', status: 'warn', detail: 'could not be found out: EACCES' });
  });

  it('versions are compared by number', () => {
    assert.equal(atLeast(versionIn('7.2.22'), [7, 0]), true);
    assert.equal(atLeast(versionIn('20.9.0'), [20, 19]), false);
    assert.equal(atLeast(versionIn('10.0'), [7, 2]), true);
    assert.equal(atLeast(versionIn('none'), [7]), false);
  });

  it('cgroup v2 is found wherever it is mounted', () => {
    const line = '29 24 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:4 - cgroup2 cgroup2 rw';
    assert.equal(cgroupMount(`24 1 0:22 / /sys rw - sysfs sysfs rw\n${line}\n`), '/sys/fs/cgroup/unified');
    assert.equal(cgroupMount('24 1 0:22 / /sys rw - sysfs sysfs rw\n'), undefined);
  });

  it('a VM is known by the socket in its arguments', () => {
    const args = ['qemu', '-chardev', 'socket,id=qmp,path=/run/f/sb-1/qmp,server=on'];
    assert.equal(vmBelow(args, '/run/f'), 'sb-1');
    assert.equal(vmBelow(args, '/run'), undefined);
    assert.equal(vmBelow(['vi', '/run/f/sb-1/qmp'], '/run/f'), undefined);
    assert.equal(vmBelow(['qemu', 'socket,id=qmp,path=/a,,b/sb-2/qmp,server=on'], '/a,b'), 'sb-2');
  });

  it('a VM without a sandbox is left over once it is too old to be in the making', () => {
    const vm = (id: string, ageSecs: number) => ({ pid: 1, id, ageSecs });
    const found = strays([vm('known', 999), vm('young', 5), vm('old', 999)], new Set(['known']));
    assert.deepEqual(found, [vm('old', 999)]);
  });

  it("the daemon's flags are read as it reads them", () => {
    assert.deepEqual(flagsOf(['--bind', '127.0.0.1:1', '--run-dir=/r=x']), {
      bind: '127.0.0.1:1',
      'run-dir': '/r=x',
    });
  });

  it('the daemon is the process that listens at the port, with its own settings', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'fkd-'));
    const script = join(directory, 'main.js');
    await writeFile(
      script,
      "const s = require('node:net').createServer(); s.listen(0, '127.0.0.1', () => console.log(s.address().port));",
    );
    await mkdir(join(directory, 'cwd'));
    const child = spawn(process.execPath, [script, 'serve', '--run-dir', 'run'], {
      cwd: join(directory, 'cwd'),
      env: { FORKD_STATE: '/s', FORKD_LOG: 'warn', OTHER: 'x' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const [port] = (await once(child.stdout, 'data')) as [Buffer];
      const found = await daemonProcess(Number(port.toString()));
      assert.deepEqual(found, {
        pid: child.pid,
        flags: { 'run-dir': 'run' },
        env: { FORKD_STATE: '/s', FORKD_LOG: 'warn' },
        uid: process.getuid?.(),
        cwd: join(directory, 'cwd'),
      });
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
      await rm(directory, { recursive: true, force: true });
    }
    assert.equal(await daemonProcess(1), undefined);
  });

  it('text is broken between words', () => {
    assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
    assert.deepEqual(wrap('a-very-long-word b', 5), ['a-very-long-word', 'b']);
    assert.deepEqual(wrap('one two'), ['one two']);
  });
});
