import { readFile } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import type { SandboxUsage } from '../quotas/domain/usage';
import { readUsage } from '../quotas/usage';
import { SandboxesService } from './sandboxes.service';

/** What sandboxes use of the host. */
@Injectable()
export class UsageService {
  constructor(private readonly sandboxes: SandboxesService) {}

  /** @throws DomainError not_found; conflict when its VM has ended. */
  async of(id: string): Promise<SandboxUsage> {
    this.sandboxes.get(id);
    try {
      const { vm, enclosure } = this.sandboxes.vmOf(id);
      return await readUsage({
        ofProcess: (file) => readFile(`/proc/${vm.pid}/${file}`, 'utf8'),
        ofGroup: enclosure === undefined ? undefined : (file) => enclosure.read(file),
      });
    } catch (error) {
      if (error instanceof DomainError && error.code === 'not_found') throw error;
      throw new DomainError('conflict', `the use of ${id} cannot be told: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }
}
