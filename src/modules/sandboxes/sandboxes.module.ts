import { Module } from '@nestjs/common';
import { RegistryModule } from '../registry/registry.module';
import { SnapshotsModule } from '../snapshots/snapshots.module';
import { VmmModule } from '../vmm/vmm.module';
import { NetworkingModule } from '../networking/networking.module';
import { MetricsModule } from '../metrics/metrics.module';
import { QuotasModule } from '../quotas/quotas.module';
import { AdoptionService } from './adoption.service';
import { BranchController } from './branch/branch.controller';
import { BranchService } from './branch/branch.service';
import { BranchSlotsService } from './branch/branch-slots.service';
import { SandboxCaptureService } from './branch/sandbox-capture.service';
import { ExecStreamController } from './exec-stream/exec-stream.controller';
import { ExecStreamService } from './exec-stream/exec-stream.service';
import { GuestCallsService } from './guest-calls.service';
import { SandboxNetworkController } from './network/sandbox-network.controller';
import { SandboxNetworkService } from './network/sandbox-network.service';
import { SandboxesController } from './sandboxes.controller';
import { SandboxesService } from './sandboxes.service';
import { SpawnService } from './spawn.service';
import { UsageService } from './usage.service';

@Module({
  imports: [MetricsModule, NetworkingModule, QuotasModule, RegistryModule, SnapshotsModule, VmmModule],
  controllers: [BranchController, ExecStreamController, SandboxNetworkController, SandboxesController],
  providers: [
    AdoptionService,
    BranchService,
    BranchSlotsService,
    // Ends its streams at a shutdown, so it stands before those who let go of the guests.
    ExecStreamService,
    GuestCallsService,
    SandboxCaptureService,
    SandboxNetworkService,
    SandboxesService,
    SpawnService,
    UsageService,
  ],
  exports: [BranchSlotsService, SandboxCaptureService, SandboxesService],
})
export class SandboxesModule {}
