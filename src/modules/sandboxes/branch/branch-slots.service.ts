import { Injectable } from '@nestjs/common';
import { DaemonConfig } from '../../../common/config/daemon-config';
import { DomainError } from '../../../common/errors/domain-error';
import { MetricsService } from '../../metrics/metrics.service';

/** Bounds how many BRANCHes run at once, and keeps two off the same sandbox. */
@Injectable()
export class BranchSlotsService {
  private used = 0;
  private readonly sources = new Set<string>();

  constructor(
    private readonly config: DaemonConfig,
    metrics: MetricsService,
  ) {
    metrics.countBranchesWith(() => this.used);
  }

  /** Takes a slot; the caller gives it back. @throws DomainError unavailable when all are in use. */
  take(): () => void {
    if (this.used >= this.config.branchConcurrency) {
      throw new DomainError(
        'unavailable',
        `daemon is at its branch concurrency cap (${this.config.branchConcurrency}); retry shortly`,
      );
    }
    this.used++;
    let taken = true;
    return () => {
      if (taken) this.used--;
      taken = false;
    };
  }

  /** Runs `work` as the only BRANCH of a sandbox. @throws DomainError conflict when another runs. */
  async exclusively<T>(sandboxId: string, work: () => Promise<T>): Promise<T> {
    if (this.sources.has(sandboxId)) {
      throw new DomainError(
        'conflict',
        `a branch of sandbox ${sandboxId} is already in progress; retry once it completes`,
      );
    }
    this.sources.add(sandboxId);
    try {
      return await work();
    } finally {
      this.sources.delete(sandboxId);
    }
  }
}
