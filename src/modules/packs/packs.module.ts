import { Module } from '@nestjs/common';
import { MemoryModule } from '../memory/memory.module';
import { SnapshotsModule } from '../snapshots/snapshots.module';
import { PackingService } from './packing.service';
import { PacksController } from './packs.controller';
import { UnpackedChainService } from './unpacked-chain.service';
import { UnpackingService } from './unpacking.service';

@Module({
  imports: [MemoryModule, SnapshotsModule],
  controllers: [PacksController],
  providers: [PackingService, UnpackedChainService, UnpackingService],
})
export class PacksModule {}
