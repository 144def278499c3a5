import { Module } from '@nestjs/common';
import { RegistryModule } from '../registry/registry.module';
import { SnapshotsModule } from '../snapshots/snapshots.module';
import { VmmModule } from '../vmm/vmm.module';
import { AdoptionService } from './adoption.service';
import { GuestCallsService } from './guest-calls.service';
import { SandboxesController } from './sandboxes.controller';
import { SandboxesService } from './sandboxes.service';
import { SpawnService } from './spawn.service';

@Module({
  imports: [RegistryModule, SnapshotsModule, VmmModule],
  controllers: [SandboxesController],
  providers: [AdoptionService, GuestCallsService, SandboxesService, SpawnService],
})
export class SandboxesModule {}
