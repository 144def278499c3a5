import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { ConfigError } from './config-error';
import {
  DaemonConfig,
  ENGINE_CHOICES,
  LOG_LEVELS,
  NETWORK_CHOICES,
  type DaemonSettings,
  type EngineChoice,
  type LogLevel,
  type NetworkChoice,
} from './daemon-config';
import { isNetworkRange } from '../net/network-range';
import { type Given, refusal } from './given';
import { parseQuotas } from './quota-settings';
import { settingOf } from './settings';

/** Parsed flags by name without dashes, e.g. `{ 'snapshot-root': '/srv/snapshots' }`. */
export type Flags = Readonly<Record<string, string | undefined>>;
export type Environment = Readonly<Record<string, string | undefined>>;

export interface HostFacts {
  readonly uid: number;
  readonly cwd: string;
  /** Whether a file is there; looks when absent. */
  readonly exists?: (path: string) => boolean;
}

/** A day: a token that must work for longer is no old token. */
const TOKEN_GRACE_MAX_SECS = 86_400;
const NETWORK_POOL_MAX = 256;
/** 16 TiB: the largest file of the usual file systems. */
const UNPACK_LIMIT_MAX_MIB = 16_777_216;
/** A unix socket's path must be shorter than this, its terminating zero included. */
const SOCKET_PATH_MAX = 108;
/** What is added to the run directory for the longest socket: "/" id "/" name. */
const SOCKET_SUFFIX = 45;

/**
 * Makes the daemon's settings out of flags, environment and defaults; a flag beats the environment. Changes and reads no file.
 *
 * @throws ConfigError naming the flag or variable, its value and what is allowed.
 */
export function loadConfig(flags: Flags, env: Environment, host: HostFacts = hostFacts()): DaemonConfig {
  const given = (flag: string): Given | undefined => {
    const fromFlag = flags[flag];
    if (fromFlag !== undefined) return nonEmpty({ source: `--${flag}`, text: fromFlag });
    const { env: variable } = settingOf(flag);
    const fromEnv = env[variable];
    return fromEnv === undefined ? undefined : nonEmpty({ source: variable, text: fromEnv });
  };
  const path = (flag: string): string | undefined => {
    const value = given(flag);
    if (value === undefined) return undefined;
    if (value.text.includes('\0')) throw refusal(value, 'a path without NUL bytes');
    return resolve(host.cwd, value.text);
  };

  const snapshotRoot = path('snapshot-root') ?? defaultSnapshotRoot(env, host);
  const settings: DaemonSettings = {
    ...parseBind(given('bind') ?? { source: '--bind', text: '127.0.0.1:8889' }),
    statePath: path('state') ?? '/var/lib/forkd/state.json',
    snapshotRoot,
    auditLogPath: path('audit-log') ?? '/var/log/forkd/audit.log',
    auditRequired: parseSwitch(given('audit-required')),
    tokenFile: path('token-file') ?? credential('token', env, host),
    tokenGraceSecs: parseGrace(given('token-grace')),
    tlsCert: path('tls-cert'),
    tlsKey: path('tls-key'),
    prewarmScratchDir: path('prewarm-scratch-dir') ?? '/dev/shm/forkd-prewarm',
    branchConcurrency: parseConcurrency(given('branch-concurrency')),
    unpackLimitMib: parseUnpackLimit(given('unpack-limit-mib')),
    engine: parseEngine(given('engine')),
    qemu: parseProgram(given('qemu'), path('qemu')),
    runDir: path('run-dir') ?? defaultRunDir(env, host),
    imageRoot: path('image-root') ?? join(dirname(snapshotRoot), 'images'),
    network: parseNetwork(given('network')),
    networkRange: parseRange(given('network-range')),
    networkPool: parsePool(given('network-pool')),
    logLevel: parseLogLevel(env),
    cgroupRoot: path('cgroup-root'),
    ...parseQuotas(given),
  };
  checkTogether(settings);
  return new DaemonConfig(settings);
}

/** Whether only this host can connect to the address. */
export function isLoopback(address: string): boolean {
  return /^(::ffff:)?127\./i.test(address) || address === '::1' || address === '0:0:0:0:0:0:0:1';
}

function hostFacts(): HostFacts {
  return { uid: process.getuid?.() ?? 0, cwd: process.cwd() };
}

/** A credential that systemd hands to the service (LoadCredential=), if there is one of that name. */
function credential(name: string, env: Environment, host: HostFacts): string | undefined {
  const directory = env.CREDENTIALS_DIRECTORY;
  if (directory === undefined || directory === '') return undefined;
  const path = join(directory, name);
  return (host.exists ?? existsSync)(path) ? path : undefined;
}

/** An empty variable is refused: FORKD_TOKEN_FILE= must not quietly switch authentication off. */
function nonEmpty(value: Given): Given {
  if (value.text === '') throw new ConfigError(`${value.source} is empty: give it a value or leave it out`);
  return value;
}

function parseBind(value: Given): { bindHost: string; bindPort: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(value.text);
  const [, bracketed, plain, digits] = match ?? [];
  const bindPort = Number(digits);
  const rightHost = bracketed === undefined ? isIP(plain ?? '') === 4 : isIP(bracketed) === 6;
  if (match === null || !rightHost || bindPort > 65_535) {
    throw refusal(value, 'ip:port with an IP address, e.g. 127.0.0.1:8889 or [::1]:8889');
  }
  return { bindHost: bracketed ?? plain ?? '', bindPort };
}

function parseConcurrency(value: Given | undefined): number {
  if (value === undefined) return 4;
  const count = /^\d{1,4}$/.test(value.text) ? Number(value.text) : 0;
  if (count < 1 || count > 1000) throw refusal(value, 'a number from 1 to 1000');
  return count;
}

function parseUnpackLimit(value: Given | undefined): number | undefined {
  if (value === undefined) return undefined;
  const mib = /^\d{1,8}$/.test(value.text) ? Number(value.text) : 0;
  if (mib < 1 || mib > UNPACK_LIMIT_MAX_MIB) throw refusal(value, `MiB from 1 to ${UNPACK_LIMIT_MAX_MIB}`);
  return mib;
}

function parseGrace(value: Given | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seconds = /^\d{1,5}$/.test(value.text) ? Number(value.text) : Number.NaN;
  if (!(seconds <= TOKEN_GRACE_MAX_SECS)) throw refusal(value, `seconds from 0 to ${TOKEN_GRACE_MAX_SECS}`);
  return seconds;
}

function parseSwitch(value: Given | undefined): boolean {
  if (value === undefined || value.text === 'false') return false;
  if (value.text !== 'true') throw refusal(value, 'true or false');
  return true;
}

function parseEngine(value: Given | undefined): EngineChoice {
  if (value === undefined) return 'auto';
  const engine = ENGINE_CHOICES.find((choice) => choice === value.text);
  if (engine === undefined) throw refusal(value, 'auto, qemu or firecracker');
  return engine;
}

function parseNetwork(value: Given | undefined): NetworkChoice | undefined {
  if (value === undefined) return undefined;
  const choice = NETWORK_CHOICES.find((name) => name === value.text);
  if (choice === undefined) throw refusal(value, NETWORK_CHOICES.join(' or '));
  return choice;
}

function parseRange(value: Given | undefined): string | undefined {
  if (value !== undefined && !isNetworkRange(value.text)) {
    throw refusal(value, 'an IPv4 network of /8 to /29 with no bit set behind it, e.g. 10.213.0.0/19');
  }
  return value?.text;
}

function parsePool(value: Given | undefined): number | undefined {
  if (value === undefined) return undefined;
  const count = /^\d{1,3}$/.test(value.text) ? Number(value.text) : Number.NaN;
  if (!(count <= NETWORK_POOL_MAX)) throw refusal(value, `a number from 0 to ${NETWORK_POOL_MAX}`);
  return count;
}

/** A bare name is looked up when it is used; anything with a slash is a path. */
function parseProgram(value: Given | undefined, path: string | undefined): string | undefined {
  return value?.text.includes('/') === false ? value.text : path;
}

function parseLogLevel(env: Environment): LogLevel {
  const own = env.FORKD_LOG;
  if (own !== undefined && own !== '') {
    const level = levelNamed(own);
    if (level === undefined) {
      throw refusal(
        { source: 'FORKD_LOG', text: own },
        'one of trace, debug, info, warn, error, fatal, silent',
      );
    }
    return level;
  }
  // RUST_LOG is shared with other programs: what does not concern this daemon is passed over.
  let level: LogLevel = 'info';
  for (const directive of (env.RUST_LOG ?? '').split(',')) {
    const [target, value] = directive.includes('=') ? directive.split('=', 2) : ['forkd', directive];
    if (target?.trim().startsWith('forkd') === true) level = levelNamed(value ?? '') ?? level;
  }
  return level;
}

function levelNamed(text: string): LogLevel | undefined {
  const name = text.trim().toLowerCase();
  if (name === 'off') return 'silent';
  return LOG_LEVELS.find((level) => level === name);
}

function defaultSnapshotRoot(env: Environment, host: HostFacts): string {
  const home = env.HOME === undefined || env.HOME === '' ? '/tmp' : env.HOME;
  const data = env.XDG_DATA_HOME === undefined || env.XDG_DATA_HOME === '' ? undefined : env.XDG_DATA_HOME;
  return resolve(host.cwd, data ?? join(home, '.local/share'), 'forkd/snapshots');
}

function defaultRunDir(env: Environment, host: HostFacts): string {
  if (host.uid === 0) return '/run/forkd';
  const runtime = env.XDG_RUNTIME_DIR;
  return runtime === undefined || runtime === ''
    ? `/tmp/forkd-${host.uid}`
    : resolve(host.cwd, runtime, 'forkd');
}

function checkTogether(settings: DaemonSettings): void {
  const { tlsCert, tlsKey, tokenFile, bindHost, runDir } = settings;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [has, lacks] = tlsCert === undefined ? ['--tls-key', '--tls-cert'] : ['--tls-cert', '--tls-key'];
    throw new ConfigError(`${has} is '${tlsCert ?? tlsKey ?? ''}', but ${lacks} is missing: TLS needs both`);
  }
  if (tokenFile === undefined && !isLoopback(bindHost)) {
    throw new ConfigError(
      `--bind is '${bindHost}', which others can reach, but there is no --token-file (FORKD_TOKEN_FILE): ` +
        'give one, or bind to a loopback address such as 127.0.0.1',
    );
  }
  const length = Buffer.byteLength(runDir);
  const longest = SOCKET_PATH_MAX - SOCKET_SUFFIX - 1;
  if (length > longest) {
    throw new ConfigError(
      `--run-dir is '${runDir}' (${length} bytes), but must be at most ${longest} bytes: ` +
        'the kernel allows no longer paths for the sockets in it',
    );
  }
}
