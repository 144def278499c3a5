import { Module } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError } from '../../common/errors/domain-error';
import { GuestAgent } from '../guest/guest-agent';
import { ImagesModule } from '../images/images.module';
import { ImagesService } from '../images/images.service';
import { QemuEngine } from './adapters/qemu/qemu-engine';
import { type RunningVm, VmmEngine } from './ports/vmm-engine';

function createEngine(config: DaemonConfig, images: ImagesService): VmmEngine {
  if (config.engine === 'firecracker') {
    throw new DomainError(
      'invalid',
      '--engine firecracker is not available in this version; use auto or qemu',
    );
  }
  return new QemuEngine({
    binary: config.qemu,
    runRoot: config.runDir,
    probeGuest: async () => (await images.list())[0],
    guestAnswers: async (vm: RunningVm, deadlineMs: number) => {
      const agent = await GuestAgent.connect(() => vm.openChannel(), { deadlineMs });
      agent.close();
    },
  });
}

@Module({
  imports: [ImagesModule],
  providers: [{ provide: VmmEngine, inject: [DaemonConfig, ImagesService], useFactory: createEngine }],
  exports: [VmmEngine],
})
export class VmmModule {}
