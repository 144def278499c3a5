import { Module } from '@nestjs/common';
import { ImagesModule } from '../images/images.module';
import { MemoryModule } from '../memory/memory.module';
import { MetricsModule } from '../metrics/metrics.module';
import { RegistryModule } from '../registry/registry.module';
import { VmmModule } from '../vmm/vmm.module';
import { CompactionService } from './compaction.service';
import { FileVerifierService } from './file-verifier.service';
import { ParentSourceService } from './parent-source.service';
import { SnapshotBuilderService } from './snapshot-builder.service';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { SnapshotChainService } from './snapshot-chain.service';
import { SnapshotInfoService } from './snapshot-info.service';
import { SnapshotIntegrityService } from './snapshot-integrity.service';
import { SnapshotOpenerService } from './snapshot-opener.service';
import { SnapshotOriginsService } from './snapshot-origins.service';
import { SnapshotReplacementService } from './snapshot-replacement.service';
import { SnapshotSettlingService } from './snapshot-settling.service';
import { SnapshotWriterService } from './snapshot-writer.service';
import { SnapshotsController } from './snapshots.controller';
import { SnapshotsService } from './snapshots.service';

@Module({
  imports: [ImagesModule, MemoryModule, MetricsModule, RegistryModule, VmmModule],
  controllers: [SnapshotsController],
  providers: [
    CompactionService,
    FileVerifierService,
    ParentSourceService,
    SnapshotBuilderService,
    SnapshotCatalogService,
    SnapshotChainService,
    SnapshotInfoService,
    SnapshotIntegrityService,
    SnapshotOpenerService,
    SnapshotOriginsService,
    SnapshotReplacementService,
    SnapshotSettlingService,
    SnapshotsService,
    SnapshotWriterService,
  ],
  exports: [
    SnapshotCatalogService,
    SnapshotChainService,
    SnapshotIntegrityService,
    SnapshotOpenerService,
    SnapshotOriginsService,
    SnapshotReplacementService,
    SnapshotSettlingService,
    SnapshotsService,
    SnapshotWriterService,
  ],
})
export class SnapshotsModule {}
