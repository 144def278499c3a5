import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Inject, Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { errorMessage } from '../../common/errors/domain-error';
import { MetricsService } from '../metrics/metrics.service';
import type { Accelerator } from '../vmm/domain/vm';
import { diskOf } from './adapters/block-devices';
import { type CgroupSubtree, openSubtree } from './cgroup-subtree';
import { cgroupSettings, type Controller, CONTROLLERS } from './domain/cgroup-settings';
import { type HeldLimits, holdLimits, type LimitWish, type Obstacles } from './domain/limits';
import { vmmMemoryMib } from './domain/vmm-memory';
import type { MemoryEvents } from './domain/usage';
import { Enclosure } from './enclosure';
import { CgroupFs } from './ports/cgroup-fs';

/** Injection token of the path of host/launcher's program. */
export const LAUNCHER_PATH = Symbol('LAUNCHER_PATH');

export interface GuestSize {
  readonly memSizeMib: number;
  readonly accelerator: Accelerator;
}

const NO_HOOK = 'this daemon does not shape network traffic';

/** Limits of sandboxes, held by cgroup v2: a group for each VM, in a group of this daemon's own. */
@Injectable()
export class QuotasService implements OnModuleInit, OnApplicationShutdown {
  private readonly logger = new Logger(QuotasService.name);
  private subtree: CgroupSubtree | undefined;
  private whyNone = '';
  private oomKills = 0;

  constructor(
    private readonly config: DaemonConfig,
    private readonly fs: CgroupFs,
    @Inject(LAUNCHER_PATH) private readonly launcher: string,
    metrics: MetricsService,
  ) {
    metrics.addCounter(
      'forkd_sandbox_oom_kills_total',
      'Processes that the kernel killed because a sandbox reached its memory limit.',
      () => this.oomKills,
    );
  }

  /** Makes the daemon's group. @throws DomainError invalid for a `--cgroup-root` that is none. */
  async onModuleInit(): Promise<void> {
    const { quotas, cgroupRoot, runDir } = this.config;
    if (quotas === 'off') {
      this.whyNone = 'the daemon was started with --quotas=off';
      return;
    }
    const realm = createHash('sha256').update(runDir).digest('hex').slice(0, 12);
    const opened = await openSubtree(this.fs, { root: cgroupRoot, realm, pid: process.pid });
    if (typeof opened === 'string') this.whyNone = opened;
    // A group without limits is of use only to somebody who asked for it: each costs a fork 2 ms.
    else if (opened.controllers.size > 0 || cgroupRoot !== undefined) this.subtree = opened;
    else this.whyNone = [...opened.missing.values()].join('; ');
  }

  /** Takes the daemon's group away when no VM is left in it. */
  async onApplicationShutdown(): Promise<void> {
    if (this.subtree) await this.fs.remove(this.subtree.dir).catch(() => undefined);
  }

  /**
   * Decides which of the limits will hold for a VM of this size.
   *
   * @throws DomainError invalid naming the limit and why it cannot hold.
   */
  async hold(wish: LimitWish, { memSizeMib, accelerator }: GuestSize): Promise<HeldLimits> {
    return holdLimits(wish, {
      mode: this.config.quotas,
      obstacles: await this.obstacles(wish.io_limits !== null),
      vmmMemoryMib: vmmMemoryMib(accelerator),
      guestMemoryMib: memSizeMib,
    });
  }

  /**
   * Makes the group of a VM that is to be started.
   *
   * @returns undefined where no groups are used; no limit was held then.
   */
  async enclose(id: string, limits: HeldLimits): Promise<Enclosure | undefined> {
    const { subtree } = this;
    if (!subtree) return undefined;
    const disk = limits.io_limits === undefined ? undefined : await diskOf(this.config.snapshotRoot);
    const enclosure = this.enclosureOf(subtree, id);
    await enclosure.create(cgroupSettings(limits, subtree.controllers, disk === undefined ? [] : [disk]));
    return enclosure;
  }

  /** The group of a VM that an earlier daemon started; undefined when it was started without. */
  async adopt(id: string): Promise<Enclosure | undefined> {
    const { subtree } = this;
    if (!subtree || !(await this.fs.children(subtree.dir)).includes(id)) return undefined;
    const enclosure = this.enclosureOf(subtree, id);
    await enclosure.adopt();
    return enclosure;
  }

  /** Ends and removes the groups that an earlier daemon left behind. @returns how many. */
  async reclaim(keep: ReadonlySet<string>): Promise<number> {
    const { subtree } = this;
    if (!subtree) return 0;
    let removed = 0;
    for (const id of await this.fs.children(subtree.dir)) {
      if (keep.has(id)) continue;
      const enclosure = this.enclosureOf(subtree, id);
      try {
        await enclosure.kill();
        await enclosure.remove();
        removed += 1;
      } catch (error) {
        this.logger.warn(errorMessage(error));
      }
    }
    return removed;
  }

  /** Says in the log, once the daemon serves, which limits it cannot enforce and why. */
  tellWhatIsMissing(): void {
    const missing = CONTROLLERS.filter((name) => this.reasonWithout(name) !== undefined);
    const [first] = missing;
    if (first === undefined) return;
    const reasons = new Set(missing.map((name) => this.reasonWithout(name)));
    this.logger.warn(`not enforced: limits of ${missing.join(', ')}: ${[...reasons].join('; ')}`);
  }

  private enclosureOf({ dir }: CgroupSubtree, id: string): Enclosure {
    return new Enclosure(this.fs, join(dir, id), this.launcher, (before, after) => {
      this.note(id, before, after);
    });
  }

  private note(id: string, before: MemoryEvents, after: MemoryEvents): void {
    this.oomKills += after.oomKills - before.oomKills;
    if (after.oomKills > before.oomKills) this.logger.warn(`${id} reached its memory limit and was killed`);
    else if (before.high === 0 && after.high > 0) {
      this.logger.warn(`${id} comes close to its memory limit and is slowed down`);
    }
  }

  private async obstacles(ioWanted: boolean): Promise<Obstacles> {
    return {
      ...this.missing('memory_limit_mib', 'memory'),
      ...this.missing('cpu_limit', 'cpu'),
      ...this.missing('pids_limit', 'pids'),
      ...this.missing('io_limits', 'io'),
      ...(ioWanted && (await this.diskIsMissing())
        ? { io_limits: `${this.config.snapshotRoot} is on a file system that is not on one disk` }
        : {}),
      bandwidth: NO_HOOK,
    };
  }

  private async diskIsMissing(): Promise<boolean> {
    return this.reasonWithout('io') === undefined && (await diskOf(this.config.snapshotRoot)) === undefined;
  }

  private missing(limit: keyof LimitWish, controller: Controller): Obstacles {
    const reason = this.reasonWithout(controller);
    return reason === undefined ? {} : { [limit]: reason };
  }

  /** Why a controller cannot be used; undefined when it can. */
  private reasonWithout(controller: Controller): string | undefined {
    if (!this.subtree) return this.whyNone;
    if (this.subtree.controllers.has(controller)) return undefined;
    return this.subtree.missing.get(controller) ?? `there is no ${controller} controller`;
  }
}
