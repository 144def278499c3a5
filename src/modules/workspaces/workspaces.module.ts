import { Module } from '@nestjs/common';
import { RegistryModule } from '../registry/registry.module';
import { SandboxesModule } from '../sandboxes/sandboxes.module';
import { SnapshotsModule } from '../snapshots/snapshots.module';
import { SuspensionService } from './suspension.service';
import { WorkspacesController } from './workspaces.controller';
import { WorkspacesService } from './workspaces.service';

@Module({
  imports: [RegistryModule, SandboxesModule, SnapshotsModule],
  controllers: [WorkspacesController],
  providers: [SuspensionService, WorkspacesService],
})
export class WorkspacesModule {}
