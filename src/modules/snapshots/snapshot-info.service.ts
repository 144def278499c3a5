import { Injectable } from '@nestjs/common';
import { DomainError } from '../../common/errors/domain-error';
import { dependentsOf } from './domain/lineage';
import { requireTag } from './domain/tag';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { SnapshotChainService } from './snapshot-chain.service';

/** What `/info` tells; sizes in bytes, 0 for a file that is missing. */
export interface SnapshotDetail {
  readonly tag: string;
  readonly dir: string;
  readonly created_at_unix?: number;
  /** Size of the guest's memory, however little of it is stored. */
  readonly memory_logical_bytes: number;
  readonly memory_physical_bytes: number;
  readonly vmstate_bytes: number;
  /** How many ancestors it is stored on top of. */
  readonly chain_depth: number;
  readonly parent_tag?: string;
  readonly parent_content_hash?: string;
  readonly dependents: string[];
  /** Root first. */
  readonly ancestors: string[];
}

const MIB = 1024 * 1024;

/** Tells all about one snapshot. */
@Injectable()
export class SnapshotInfoService {
  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly chain: SnapshotChainService,
  ) {}

  /** @throws DomainError invalid, not_found; internal when the chain above it is broken. */
  async of(tag: string): Promise<SnapshotDetail> {
    requireTag(tag);
    const { store } = this.catalog;
    const record = this.catalog.get(tag);
    if (!record && !(await this.catalog.hasVmstate(tag))) {
      throw new DomainError('not_found', `snapshot ${tag} not found`);
    }
    const { names, manifest } = await store.describe(tag);
    const memory = await this.catalog.sizesOf(names.memoryPath);
    const ancestors = await this.chain.ancestors(store, tag);
    const logical = manifest?.diff_sha256 === undefined ? memory.logical : manifest.guest.mem_size_mib * MIB;
    return {
      tag,
      dir: store.dirOf(tag),
      ...(record === undefined ? {} : { created_at_unix: record.created_at_unix }),
      memory_logical_bytes: memory.physical === 0 && memory.logical === 0 ? 0 : logical,
      memory_physical_bytes: memory.physical,
      vmstate_bytes: (await this.catalog.sizesOf(names.vmstatePath)).logical,
      chain_depth: ancestors.length,
      ...(names.parentTag === undefined ? {} : { parent_tag: names.parentTag }),
      ...(manifest?.parent_content_hash === undefined
        ? {}
        : { parent_content_hash: manifest.parent_content_hash }),
      dependents: dependentsOf(tag, await this.catalog.lineage()),
      ancestors,
    };
  }
}
