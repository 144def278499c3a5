import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { IMAGE_OPTIONS, type ImageOptions } from './image-options';
import { ImagesService } from './images.service';

/** Where the build puts what goes into the guest: beside the compiled modules. */
const GUEST_FILES = join(__dirname, '..', '..', 'guest');

function imageOptions(config: DaemonConfig): ImageOptions {
  return {
    imageRoot: config.imageRoot,
    agentPath: join(GUEST_FILES, 'forkd-agent'),
    runtimesPath: join(GUEST_FILES, 'runtimes'),
  };
}

@Module({
  providers: [{ provide: IMAGE_OPTIONS, inject: [DaemonConfig], useFactory: imageOptions }, ImagesService],
  exports: [ImagesService],
})
export class ImagesModule {}
