import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { TestHost } from '../support/test-host/test-host';
import { copyImageIn, makePackage, SLOW_MS, vouchForKvm } from './support';

describe('the Debian package on a systemd host', () => {
  let directory: string;
  let first: string;
  let second: string;
  let host: TestHost;
  let sandbox: string;

  const slowly = (command: string) => host.run(command, { timeoutMs: SLOW_MS });
  const output = async (command: string): Promise<string> => (await slowly(command)).stdout.trim();
  const evaluate = (code: string): Promise<string> => output(`forkd eval ${sandbox} '${code}'`);
  const state = (property: string): Promise<string> =>
    output(`systemctl show --value --property ${property} forkd-controller`);

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-package-'));
    first = await makePackage(directory, '0.5.3');
    second = await makePackage(directory, '0.5.4');
    host = await TestHost.start();
    await host.copyIn(first, '/root/first.deb');
    await host.copyIn(second, '/root/second.deb');
  });

  after(async () => {
    await host.stop();
    await rm(directory, { recursive: true });
  });

  it('has no faults that lintian knows', async () => {
    const { stdout } = await promisify(execFile)('lintian', ['--fail-on', 'error', first]);
    assert.doesNotMatch(stdout, /^E:/m);
  });

  it('installs a daemon that is enabled, ready when systemd says so, and closed without the token', async () => {
    await vouchForKvm(host);
    await slowly('dpkg -i /root/first.deb');
    assert.equal(await output('systemctl is-enabled forkd-controller'), 'enabled');
    assert.equal(await output('systemctl is-active forkd-controller'), 'active');
    assert.equal(await output('curl -s 127.0.0.1:8889/healthz'), '{"ok":true}');
    const status = "curl -s -o /dev/null -w '%{http_code}' 127.0.0.1:8889/v1/sandboxes";
    assert.equal(await output(status), '401');
    assert.equal(await output(`${status} -H "Authorization: Bearer $(cat /etc/forkd/token)"`), '200');
    assert.equal(await output('stat -c %a /etc/forkd/token'), '600');
    // The token is a credential, in nobody's environment or command line.
    const secret = await output('cat /etc/forkd/token');
    const told = await output(
      'cat /proc/$(systemctl show -P MainPID forkd-controller)/{environ,cmdline} | tr "\\0" "\\n"',
    );
    assert.ok(!told.includes(secret));
  });

  it('is no more exposed than its unit was found to be', async () => {
    const text = await output('systemd-analyze security forkd-controller --no-pager | tail -1');
    const [, exposure] = /exposure level for \S+: ([\d.]+)/.exec(text) ?? [];
    assert.ok(Number(exposure) <= 6.2, text);
  });

  it('forks VMs under the hardening of its unit', async () => {
    await copyImageIn(host);
    await slowly('forkd snapshot create py --image python --mem-size-mib 128 --boot-wait-secs 60');
    sandbox = await output('forkd fork --tag py --quiet');
    assert.equal(await evaluate('6 * 7'), '42');
    await evaluate('kept = 5');
  });

  it('branches them while they run: this kernel tells which pages are written', async () => {
    const text = await output(`forkd branch ${sandbox} --tag live --mode live --json`);
    const { status, warning } = JSON.parse(text) as { status: string; warning?: string };
    assert.deepEqual([status, warning], ['ready', undefined]);
    const child = await output('forkd fork --tag live --quiet');
    assert.equal(await output(`forkd eval ${child} 'kept'`), '5');
    await slowly(`forkd rm ${child} && forkd snapshot rm live`);
  });

  it('keeps sandboxes running and usable over a restart of the daemon', async () => {
    const before = await state('MainPID');
    await slowly('systemctl restart forkd-controller');
    assert.notEqual(await state('MainPID'), before);
    assert.equal(await evaluate('kept'), '5');
  });

  it('keeps them over a stop as well', async () => {
    await slowly('systemctl stop forkd-controller');
    assert.match(await output('pgrep -fc qemu-system-x86_6[4]'), /^1$/);
    await slowly('systemctl start forkd-controller');
    assert.equal(await evaluate('kept'), '5');
  });

  it('restarts a daemon that hangs', async () => {
    const before = await state('MainPID');
    await slowly(`kill -STOP ${before}`);
    await slowly(
      `until [ "$(systemctl show -P MainPID forkd-controller)" != ${before} ] && systemctl -q is-active forkd-controller; do sleep 0.5; done`,
    );
    assert.equal(await state('NRestarts'), '1');
    assert.equal(await evaluate('kept'), '5');
  });

  it('upgrades under running sandboxes', async () => {
    await slowly('dpkg -i /root/second.deb');
    assert.equal(await output('systemctl is-active forkd-controller'), 'active');
    assert.equal(await evaluate('kept'), '5');
  });

  it('removes the daemon and its sandboxes, and purges everything else', async () => {
    await slowly('dpkg -r forkd-controller');
    const left = 'for p in $(pgrep -f qemu-system-x86_6[4]); do cat /proc/$p/stat /proc/$p/cgroup; done';
    assert.equal(await output(left), '');
    assert.equal(await output('ls /etc/forkd/token /var/lib/forkd/state.json | wc -l'), '2');
    await slowly('dpkg -P forkd-controller');
    const files =
      'find / -xdev -name "*forkd*" -not -path "/root/*" -not -path "/mnt/*" -not -path "/var/log/journal/*"';
    assert.equal(await output(files), '');
    assert.equal(await output('systemctl --failed --no-legend --plain'), '');
    assert.equal(await output("find /sys/fs/cgroup -name '*forkd*' -path '*service*'"), '');
  });
});
