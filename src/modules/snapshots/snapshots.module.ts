import { Module } from '@nestjs/common';
import { ImagesModule } from '../images/images.module';
import { MemoryModule } from '../memory/memory.module';
import { RegistryModule } from '../registry/registry.module';
import { VmmModule } from '../vmm/vmm.module';
import { SnapshotBuilderService } from './snapshot-builder.service';
import { SnapshotIntegrityService } from './snapshot-integrity.service';
import { SnapshotsController } from './snapshots.controller';
import { SnapshotsService } from './snapshots.service';

@Module({
  imports: [ImagesModule, MemoryModule, RegistryModule, VmmModule],
  controllers: [SnapshotsController],
  providers: [SnapshotBuilderService, SnapshotIntegrityService, SnapshotsService],
  exports: [SnapshotsService],
})
export class SnapshotsModule {}
