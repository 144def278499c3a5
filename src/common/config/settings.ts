/** One setting as a person gives it: on the command line or in the environment. */
export interface Setting {
  /** Without the dashes; also the key of the parsed flags. */
  readonly flag: string;
  readonly env: string;
  /** Placeholder of the value in the help; undefined for a switch, whose variable says true or false. */
  readonly value: string | undefined;
  readonly meaning: string;
  /** The default as the help says it. */
  readonly fallback: string;
}

function setting(flag: string, env: string, value: string, meaning: string, fallback: string): Setting {
  return { flag, env, value, meaning, fallback };
}

function toggle(flag: string, env: string, meaning: string): Setting {
  return { flag, env, value: undefined, meaning, fallback: 'false' };
}

/** All flags of `serve`, in the order of the help. */
export const SETTINGS = [
  setting('bind', 'FORKD_BIND', 'ip:port', 'address to listen on; IPv6 as [::1]:8889', '127.0.0.1:8889'),
  setting('state', 'FORKD_STATE', 'path', 'registry file', '/var/lib/forkd/state.json'),
  setting(
    'snapshot-root',
    'FORKD_SNAPSHOT_ROOT',
    'dir',
    'one sub-directory per snapshot tag',
    '$XDG_DATA_HOME/forkd/snapshots, else ~/.local/share/forkd/snapshots',
  ),
  setting('image-root', 'FORKD_IMAGE_ROOT', 'dir', 'built images', '"images" beside the snapshot root'),
  setting('audit-log', 'FORKD_AUDIT_LOG', 'path', 'one JSON line per request', '/var/log/forkd/audit.log'),
  toggle('audit-required', 'FORKD_AUDIT_REQUIRED', 'refuse changes while the audit log cannot be written'),
  setting(
    'token-file',
    'FORKD_TOKEN_FILE',
    'path',
    'file with the bearer token, at least 16 bytes; needed to listen beyond loopback',
    "systemd's credential token, if given; else none: everyone who can connect may do everything",
  ),
  setting(
    'token-grace',
    'FORKD_TOKEN_GRACE',
    'seconds',
    'how long a replaced token still works, 0 to 86400',
    '60',
  ),
  setting('tls-cert', 'FORKD_TLS_CERT', 'path', 'PEM certificate chain; needs --tls-key', 'plain HTTP'),
  setting('tls-key', 'FORKD_TLS_KEY', 'path', 'PEM private key; needs --tls-cert', 'plain HTTP'),
  setting(
    'prewarm-scratch-dir',
    'FORKD_PREWARM_SCRATCH_DIR',
    'dir',
    'scratch files of prewarmed children',
    '/dev/shm/forkd-prewarm',
  ),
  setting(
    'branch-concurrency',
    'FORKD_BRANCH_CONCURRENCY',
    'n',
    'branches that may run at once, 1 to 1000',
    '4',
  ),
  setting(
    'unpack-limit-mib',
    'FORKD_UNPACK_LIMIT_MIB',
    'n',
    'largest content of a pack that is unpacked, 1 to 16777216',
    '131072',
  ),
  setting('engine', 'FORKD_ENGINE', 'name', 'auto, qemu or firecracker', 'auto'),
  setting('qemu', 'FORKD_QEMU', 'path', "QEMU's executable, a name or a path", 'qemu-system-x86_64'),
  setting(
    'run-dir',
    'FORKD_RUN_DIR',
    'dir',
    'sockets and records of running VMs',
    '/run/forkd as root, else $XDG_RUNTIME_DIR/forkd, else /tmp/forkd-<uid>',
  ),
  setting(
    'network',
    'FORKD_NETWORK',
    'name',
    'auto: namespaces for sandboxes that ask for a network; off: none',
    'auto',
  ),
  setting(
    'network-range',
    'FORKD_NETWORK_RANGE',
    'cidr',
    'IPv4 addresses for the links to sandboxes, two each, /8 to /29',
    '10.213.0.0/19, for 4095 sandboxes',
  ),
  setting(
    'network-pool',
    'FORKD_NETWORK_POOL',
    'n',
    'namespaces kept ready once a sandbox has asked for one, 0 to 256',
    '8',
  ),
  setting(
    'quotas',
    'FORKD_QUOTAS',
    'mode',
    'limits that this host cannot enforce: required refuses them, best-effort marks the sandbox, auto refuses all but memory_limit_mib, off uses no cgroups',
    'auto',
  ),
  setting(
    'cgroup-root',
    'FORKD_CGROUP_ROOT',
    'dir',
    'cgroup v2 directory for the sandboxes, delegated to this daemon',
    '"forkd" where cgroup v2 is mounted',
  ),
  setting('max-sandboxes', 'FORKD_MAX_SANDBOXES', 'n', 'sandboxes there may be at once', 'any number'),
  setting(
    'memory-reserve',
    'FORKD_MEMORY_RESERVE',
    'MiB',
    'memory of the host that no new sandbox may take; 0: it is not looked at',
    '256',
  ),
  setting(
    'memory-overcommit',
    'FORKD_MEMORY_OVERCOMMIT',
    'factor',
    "how many times the host's memory sandboxes may be promised, 0.1 to 1000",
    'any number of times',
  ),
] as const;

/** The setting of a flag. @throws Error for a flag that is not in the table. */
export function settingOf(flag: string): Setting {
  const found = SETTINGS.find((candidate) => candidate.flag === flag);
  if (found === undefined) throw new Error(`no setting is called --${flag}`);
  return found;
}
