import { Module } from '@nestjs/common';
import { MemoryImageService } from './memory-image.service';

@Module({ providers: [MemoryImageService], exports: [MemoryImageService] })
export class MemoryModule {}
