import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError } from '../../../src/common/config/config-error';
import {
  type Environment,
  type Flags,
  type HostFacts,
  isLoopback,
  loadConfig,
} from '../../../src/common/config/load-config';
import { SETTINGS } from '../../../src/common/config/settings';

/** Values of the settings that are no paths. */
const VALUES: Readonly<Record<string, string>> = {
  bind: '[::1]:9',
  engine: 'qemu',
  'branch-concurrency': '2',
  'unpack-limit-mib': '512',
  'token-grace': '5',
  'audit-required': 'true',
  network: 'off',
  'network-range': '10.0.0.0/20',
  'network-pool': '3',
  quotas: 'best-effort',
  'max-sandboxes': '7',
  'memory-reserve': '512',
  'memory-overcommit': '1.5',
};

const ROOT = { uid: 0, cwd: '/srv', exists: () => false };
const load = (flags: Flags = {}, env: Environment = {}, host: HostFacts = ROOT) =>
  loadConfig(flags, env, host);

function refused(flags: Flags, env: Environment, ...texts: RegExp[]): void {
  assert.throws(
    () => load(flags, env),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      for (const text of texts) assert.match(error.message, text);
      return true;
    },
  );
}

describe('loadConfig', () => {
  it('has the documented defaults', () => {
    assert.deepEqual(Object.fromEntries(Object.entries(load({}, { HOME: '/home/a' }))), {
      bindHost: '127.0.0.1',
      bindPort: 8889,
      statePath: '/var/lib/forkd/state.json',
      snapshotRoot: '/home/a/.local/share/forkd/snapshots',
      auditLogPath: '/var/log/forkd/audit.log',
      auditRequired: false,
      tokenFile: undefined,
      tokenGraceSecs: 60,
      tlsCert: undefined,
      tlsKey: undefined,
      prewarmScratchDir: '/dev/shm/forkd-prewarm',
      branchConcurrency: 4,
      unpackLimitMib: 131_072,
      engine: 'auto',
      qemu: 'qemu-system-x86_64',
      runDir: '/run/forkd',
      imageRoot: '/home/a/.local/share/forkd/images',
      network: 'auto',
      networkRange: '10.213.0.0/19',
      networkPool: 8,
      logLevel: 'info',
      quotas: 'auto',
      cgroupRoot: undefined,
      launcher: undefined,
      maxSandboxes: undefined,
      memoryReserveMib: 256,
      memoryOvercommit: undefined,
    });
  });

  it('lets a flag beat the environment and the environment the default', () => {
    const flags = { bind: '127.0.0.2:1', engine: 'qemu' };
    const env = { FORKD_BIND: '127.0.0.3:2', FORKD_ENGINE: 'firecracker', FORKD_BRANCH_CONCURRENCY: '9' };
    const config = load(flags, env);
    assert.deepEqual(
      [config.bindHost, config.bindPort, config.engine, config.branchConcurrency],
      ['127.0.0.2', 1, 'qemu', 9],
    );
  });

  it('reads every setting from its flag and from its variable', () => {
    for (const { flag, env } of SETTINGS) {
      const value = VALUES[flag] ?? '/x/y';
      const more = flag.startsWith('tls-') ? { FORKD_TLS_CERT: '/c', FORKD_TLS_KEY: '/k' } : {};
      const byFlag = load({ [flag]: value }, more);
      const byEnv = load({}, { ...more, [env]: value });
      assert.deepEqual(byFlag, byEnv, flag);
      assert.notDeepEqual(byFlag, load({}, more), flag);
    }
  });

  it('takes a grace for replaced tokens of 0 seconds to a day', () => {
    assert.equal(load({ 'token-grace': '0' }).tokenGraceSecs, 0);
    assert.equal(load({ 'token-grace': '86400' }).tokenGraceSecs, 86_400);
    for (const value of ['-1', '1.5', '86401', '1m']) {
      refused({}, { FORKD_TOKEN_GRACE: value }, /FORKD_TOKEN_GRACE/, /0 to 86400/);
    }
  });

  it('takes a network of /8 to /29, and a pool of up to 256 namespaces', () => {
    assert.equal(load().networkRange, '10.213.0.0/19');
    assert.equal(load({ 'network-pool': '0' }).networkPool, 0);
    for (const range of ['10.0.0.0', '10.0.0.1/24', '10.0.0.0/30', '10.0.0.0/7', 'fd00::/64', 'x']) {
      refused({ 'network-range': range }, {}, /--network-range is/, /\/8 to \/29/);
    }
    refused({ 'network-pool': '257' }, {}, /--network-pool is '257'/, /0 to 256/);
    refused({}, { FORKD_NETWORK: 'host' }, /FORKD_NETWORK is 'host'/, /auto or off/);
  });

  it('takes limits of admission and a mode for quotas, and nothing else', () => {
    assert.equal(load({ 'memory-overcommit': '0.5' }).memoryOvercommit, 0.5);
    refused({ quotas: 'maybe' }, {}, /--quotas is 'maybe'/, /auto, required, best-effort or off/);
    refused({ 'max-sandboxes': '0' }, {}, /--max-sandboxes is '0'/, /from 1 to 1000000/);
    refused({}, { FORKD_MEMORY_RESERVE: '1G' }, /FORKD_MEMORY_RESERVE is '1G'/, /whole number from 0/);
    for (const value of ['0', '-1', 'x', '1001']) {
      refused({ 'memory-overcommit': value }, {}, /--memory-overcommit/, /0\.1 to 1000/);
    }
  });

  it('takes a limit of 1 MiB to 16 TiB for what is unpacked', () => {
    assert.equal(load({ 'unpack-limit-mib': '16777216' }).unpackLimitMib, 16_777_216);
    for (const value of ['0', '-1', '1.5', '16777217', '1G']) {
      refused({}, { FORKD_UNPACK_LIMIT_MIB: value }, /FORKD_UNPACK_LIMIT_MIB/, /1 to 16777216/);
    }
  });

  it('takes true and false for a switch', () => {
    assert.equal(load({ 'audit-required': 'true' }).auditRequired, true);
    assert.equal(load({}, { FORKD_AUDIT_REQUIRED: 'false' }).auditRequired, false);
    refused({}, { FORKD_AUDIT_REQUIRED: 'yes' }, /FORKD_AUDIT_REQUIRED is 'yes'/, /true or false/);
  });

  it('makes relative paths absolute', () => {
    const config = load({ state: 'data/state.json', 'snapshot-root': '../snaps' });
    assert.deepEqual(
      [config.statePath, config.snapshotRoot, config.imageRoot],
      ['/srv/data/state.json', '/snaps', '/images'],
    );
  });

  it('places snapshots by XDG_DATA_HOME, HOME, /tmp', () => {
    assert.equal(load({}, { XDG_DATA_HOME: '/d', HOME: '/h' }).snapshotRoot, '/d/forkd/snapshots');
    assert.equal(load().snapshotRoot, '/tmp/.local/share/forkd/snapshots');
  });

  it('places sockets by user', () => {
    const user = { uid: 1000, cwd: '/' };
    assert.equal(load({}, { XDG_RUNTIME_DIR: '/run/user/1000' }, user).runDir, '/run/user/1000/forkd');
    assert.equal(load({}, {}, user).runDir, '/tmp/forkd-1000');
    assert.equal(load({}, { XDG_RUNTIME_DIR: '/run/user/0' }).runDir, '/run/forkd');
  });

  it('takes IPv4 and bracketed IPv6 addresses only', () => {
    const config = load({ bind: '[::1]:8889' });
    assert.deepEqual([config.bindHost, config.bindPort], ['::1', 8889]);
    for (const bind of [
      '8889',
      ':8889',
      'localhost:8889',
      '::1:8889',
      '[127.0.0.1]:1',
      '127.0.0.1',
      '127.0.0.1:65536',
      '127.0.0.1:-1',
    ]) {
      refused({ bind }, {}, /--bind/, new RegExp(bind.replaceAll(/[[\]]/g, '\\$&')), /ip:port/);
    }
  });

  it('names the variable when that is where a wrong value came from', () => {
    refused({}, { FORKD_ENGINE: 'vbox' }, /FORKD_ENGINE/, /'vbox'/, /auto, qemu or firecracker/);
  });

  it('refuses branch concurrency 0 and what is no number', () => {
    for (const value of ['0', '-1', '1.5', 'many', '1001']) {
      refused({ 'branch-concurrency': value }, {}, /--branch-concurrency/, /1 to 1000/);
    }
  });

  it('refuses an empty value rather than switching something off', () => {
    refused({}, { FORKD_TOKEN_FILE: '' }, /FORKD_TOKEN_FILE is empty/);
    refused({ 'tls-cert': '' }, {}, /--tls-cert is empty/);
  });

  it('needs certificate and key together', () => {
    refused({ 'tls-cert': '/c' }, {}, /--tls-key is missing/);
    refused({}, { FORKD_TLS_KEY: '/k' }, /--tls-cert is missing/);
  });

  it("takes systemd's credential as token file, unless another is named", () => {
    const env = { CREDENTIALS_DIRECTORY: '/run/credentials/forkd' };
    const host = { ...ROOT, exists: (path: string) => path === '/run/credentials/forkd/token' };
    assert.equal(load({}, env, host).tokenFile, '/run/credentials/forkd/token');
    assert.equal(load({ bind: '0.0.0.0:1' }, env, host).bindHost, '0.0.0.0');
    assert.equal(load({}, { ...env, FORKD_TOKEN_FILE: '/t' }, host).tokenFile, '/t');
    // Other credentials may be there, but no token.
    assert.equal(load({}, env).tokenFile, undefined);
    assert.equal(load({}, {}, host).tokenFile, undefined);
  });

  it('refuses to be reachable by others without a token', () => {
    refused({ bind: '0.0.0.0:8889' }, {}, /0\.0\.0\.0/, /--token-file/);
    refused({ bind: '[::]:8889' }, {}, /--token-file/);
    assert.equal(load({ bind: '0.0.0.0:8889', 'token-file': '/t' }).bindHost, '0.0.0.0');
  });

  it('refuses a run directory too long for sockets', () => {
    assert.equal(load({ 'run-dir': `/${'r'.repeat(61)}` }).runDir.length, 62);
    refused({ 'run-dir': `/${'r'.repeat(62)}` }, {}, /--run-dir/, /63 bytes/, /at most 62/);
  });

  it('takes the log level from FORKD_LOG, else RUST_LOG', () => {
    assert.equal(load({}, { FORKD_LOG: 'debug', RUST_LOG: 'error' }).logLevel, 'debug');
    assert.equal(load({}, { RUST_LOG: 'hyper=trace,WARN' }).logLevel, 'warn');
    assert.equal(load({}, { RUST_LOG: 'forkd_controller=debug,tower=off' }).logLevel, 'debug');
    assert.equal(load({}, { RUST_LOG: 'off' }).logLevel, 'silent');
    assert.equal(load({}, { RUST_LOG: 'nonsense' }).logLevel, 'info');
    refused({}, { FORKD_LOG: 'loud' }, /FORKD_LOG/, /'loud'/, /debug/);
  });
});

describe('isLoopback', () => {
  it('knows the loopback addresses of both families', () => {
    for (const address of ['127.0.0.1', '127.255.0.3', '::1', '::ffff:127.0.0.1'])
      assert.ok(isLoopback(address), address);
    for (const address of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::2'])
      assert.ok(!isLoopback(address), address);
  });
});
