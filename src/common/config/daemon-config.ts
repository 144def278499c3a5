export const ENGINE_CHOICES = ['auto', 'qemu', 'firecracker'] as const;
export type EngineChoice = (typeof ENGINE_CHOICES)[number];

export const NETWORK_CHOICES = ['auto', 'off'] as const;
export type NetworkChoice = (typeof NETWORK_CHOICES)[number];

/** What becomes of a limit that the host cannot enforce; see modules/quotas/domain/limits.ts. */
export const QUOTA_MODES = ['auto', 'required', 'best-effort', 'off'] as const;
export type QuotaMode = (typeof QUOTA_MODES)[number];

/** MiB of the host's memory that sandboxes leave free. */
export const DEFAULT_MEMORY_RESERVE_MIB = 256;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const DEFAULT_TOKEN_GRACE_SECS = 60;

/** 128 GiB: two guests of the largest size. */
export const DEFAULT_UNPACK_LIMIT_MIB = 131_072;

export const DEFAULT_QEMU = 'qemu-system-x86_64';

export const DEFAULT_NETWORK_RANGE = '10.213.0.0/19';
export const DEFAULT_NETWORK_POOL = 8;

export interface DaemonSettings {
  /** IP address, without brackets. */
  readonly bindHost: string;
  /** 0 lets the kernel choose. */
  readonly bindPort: number;
  /** The registry file. */
  readonly statePath: string;
  /** One sub-directory per snapshot tag. */
  readonly snapshotRoot: string;
  readonly auditLogPath: string;
  /** Refuse mutating requests that cannot be recorded. No when absent. */
  readonly auditRequired?: boolean | undefined;
  /** No authentication when absent. */
  readonly tokenFile?: string | undefined;
  /** Seconds for which a replaced token still works; {@link DEFAULT_TOKEN_GRACE_SECS} when absent. */
  readonly tokenGraceSecs?: number | undefined;
  /** PEM files; both or neither. */
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly prewarmScratchDir: string;
  /** BRANCHes that may run at once, at least 1. */
  readonly branchConcurrency: number;
  /** Content of a pack that is unpacked at most, in MiB; {@link DEFAULT_UNPACK_LIMIT_MIB} when absent. */
  readonly unpackLimitMib?: number | undefined;
  readonly engine: EngineChoice;
  /** QEMU's executable: a name in the usual directories, or an absolute path. {@link DEFAULT_QEMU} when absent. */
  readonly qemu?: string | undefined;
  /** Sockets and records of running VMs. */
  readonly runDir: string;
  readonly imageRoot: string;
  /** Whether sandboxes can have a network; `auto` when absent. */
  readonly network?: NetworkChoice | undefined;
  /** IPv4 network in CIDR notation; {@link DEFAULT_NETWORK_RANGE} when absent. */
  readonly networkRange?: string | undefined;
  /** Namespaces kept ready; {@link DEFAULT_NETWORK_POOL} when absent. */
  readonly networkPool?: number | undefined;
  readonly logLevel: LogLevel;
  /** `auto` when absent. */
  readonly quotas?: QuotaMode | undefined;
  /** The group that all sandboxes' groups are made in; one at cgroup v2's mount point when absent. */
  readonly cgroupRoot?: string | undefined;
  /** The program that starts another one inside a cgroup; the one that was built with the daemon when absent. */
  readonly launcher?: string | undefined;
  /** Sandboxes there may be at once; any number when absent. */
  readonly maxSandboxes?: number | undefined;
  /** {@link DEFAULT_MEMORY_RESERVE_MIB} when absent. */
  readonly memoryReserveMib?: number | undefined;
  /** How many times the host's memory, less the reserve, sandboxes may be promised; any number when absent. */
  readonly memoryOvercommit?: number | undefined;
}

/** The daemon's settings, checked and complete; all paths are absolute. */
export class DaemonConfig implements DaemonSettings {
  readonly bindHost: string;
  readonly bindPort: number;
  readonly statePath: string;
  readonly snapshotRoot: string;
  readonly auditLogPath: string;
  readonly auditRequired: boolean;
  readonly tokenFile: string | undefined;
  readonly tokenGraceSecs: number;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly prewarmScratchDir: string;
  readonly branchConcurrency: number;
  readonly unpackLimitMib: number;
  readonly engine: EngineChoice;
  readonly qemu: string;
  readonly runDir: string;
  readonly imageRoot: string;
  readonly network: NetworkChoice;
  readonly networkRange: string;
  readonly networkPool: number;
  readonly logLevel: LogLevel;
  readonly quotas: QuotaMode;
  readonly cgroupRoot: string | undefined;
  readonly launcher: string | undefined;
  readonly maxSandboxes: number | undefined;
  readonly memoryReserveMib: number;
  readonly memoryOvercommit: number | undefined;

  constructor(settings: DaemonSettings) {
    this.bindHost = settings.bindHost;
    this.bindPort = settings.bindPort;
    this.statePath = settings.statePath;
    this.snapshotRoot = settings.snapshotRoot;
    this.auditLogPath = settings.auditLogPath;
    this.auditRequired = settings.auditRequired ?? false;
    this.tokenFile = settings.tokenFile;
    this.tokenGraceSecs = settings.tokenGraceSecs ?? DEFAULT_TOKEN_GRACE_SECS;
    this.tlsCert = settings.tlsCert;
    this.tlsKey = settings.tlsKey;
    this.prewarmScratchDir = settings.prewarmScratchDir;
    this.branchConcurrency = settings.branchConcurrency;
    this.unpackLimitMib = settings.unpackLimitMib ?? DEFAULT_UNPACK_LIMIT_MIB;
    this.engine = settings.engine;
    this.qemu = settings.qemu ?? DEFAULT_QEMU;
    this.runDir = settings.runDir;
    this.imageRoot = settings.imageRoot;
    this.network = settings.network ?? 'auto';
    this.networkRange = settings.networkRange ?? DEFAULT_NETWORK_RANGE;
    this.networkPool = settings.networkPool ?? DEFAULT_NETWORK_POOL;
    this.logLevel = settings.logLevel;
    this.quotas = settings.quotas ?? 'auto';
    this.cgroupRoot = settings.cgroupRoot;
    this.launcher = settings.launcher;
    this.maxSandboxes = settings.maxSandboxes;
    this.memoryReserveMib = settings.memoryReserveMib ?? DEFAULT_MEMORY_RESERVE_MIB;
    this.memoryOvercommit = settings.memoryOvercommit;
  }
}
