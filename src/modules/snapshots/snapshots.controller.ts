import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ClientSignal } from '../../common/http/client-signal.decorator';
import { Documented } from '../../common/http/documented.decorator';
import { HttpError } from '../../common/http/http-error';
import { JsonBody } from '../../common/http/json-body.decorator';
import { QueryBool } from '../../common/http/query-bool.decorator';
import { Audited } from '../audit/audited.decorator';
import { Authenticated } from '../auth/access.decorator';
import type { SnapshotRecord } from '../registry/domain/records';
import { SNAPSHOT_INFO, SNAPSHOT_LIST } from '../registry/wire-schemas';
import { CompactionService } from './compaction.service';
import { CompactDto } from './dto/compact.dto';
import { CreateSnapshotDto } from './dto/create-snapshot.dto';
import { type SnapshotDetail, SnapshotInfoService } from './snapshot-info.service';
import { SnapshotsService } from './snapshots.service';
import { SNAPSHOT_INFO_DETAIL, SNAPSHOT_PARAMS } from './wire-schemas';

@Controller('v1/snapshots')
@Authenticated()
export class SnapshotsController {
  constructor(
    private readonly snapshots: SnapshotsService,
    private readonly details: SnapshotInfoService,
    private readonly compaction: CompactionService,
  ) {}

  @Get()
  @Documented({
    id: 'listSnapshots',
    summary: 'All snapshots',
    description: 'Those on disk that nobody registered and those being written included; each tag once.',
    success: { status: 200, description: 'All of them.', schema: SNAPSHOT_LIST },
  })
  list(): Promise<SnapshotRecord[]> {
    return this.snapshots.list();
  }

  @Post()
  @HttpCode(201)
  @Audited('snapshot.create')
  @Documented({
    id: 'createSnapshot',
    summary: 'Boots a VM, lets it warm up, and keeps it as a snapshot',
    description: 'The request takes as long as that. Either `image`, or `kernel` and `rootfs`.',
    success: { status: 201, description: 'It can be forked.', schema: SNAPSHOT_INFO },
    errors: {
      400: 'A number or the tag is out of its range, a path is no file, or the tag is taken.',
      404: 'No such image.',
      409: 'The tag is being written, or the image is for another architecture.',
      500: 'The guest did not come up, or could not be written down; nothing is left.',
    },
    example: { tag: 'py', image: 'python', mem_size_mib: 256, boot_wait_secs: 60 },
  })
  create(@JsonBody() body: CreateSnapshotDto, @ClientSignal() signal: AbortSignal): Promise<SnapshotRecord> {
    requireOneSource(body);
    const { tag, image, kernel, rootfs, rw, tap } = body;
    return this.snapshots.create(
      {
        tag,
        ...(image === undefined ? {} : { image }),
        ...(kernel === undefined ? {} : { kernel }),
        ...(rootfs === undefined ? {} : { rootfs }),
        rw,
        tap,
        bootWaitSecs: body.boot_wait_secs,
        memSizeMib: body.mem_size_mib,
        vcpus: body.vcpus,
      },
      signal,
    );
  }

  @Get(':tag/info')
  @Documented({
    id: 'getSnapshotInfo',
    summary: 'All about one snapshot',
    params: SNAPSHOT_PARAMS,
    success: { status: 200, description: 'Sizes and relatives.', schema: SNAPSHOT_INFO_DETAIL },
    errors: {
      400: 'The tag is no tag.',
      404: 'No such snapshot.',
      500: 'A snapshot it is stored on top of is missing, or they go round in a circle.',
    },
  })
  info(@Param('tag') tag: string): Promise<SnapshotDetail> {
    return this.details.of(tag);
  }

  @Post(':tag/compact')
  @HttpCode(200)
  @Audited('snapshot.compact')
  @Documented({
    id: 'compactSnapshot',
    summary: 'Makes a snapshot that stands on its own out of one that is stored on top of others',
    params: SNAPSHOT_PARAMS,
    success: { status: 200, description: 'The new snapshot.', schema: SNAPSHOT_INFO },
    errors: {
      400: 'A tag is no tag, or both are the same.',
      404: 'No such snapshot.',
      409: 'The new tag is taken or being written, or the snapshot is not bootable.',
      500: 'The chain is broken or could not be copied; nothing is left.',
    },
    example: { to: 'py-flat' },
  })
  compact(@Param('tag') tag: string, @JsonBody() body: CompactDto): Promise<SnapshotRecord> {
    return this.compaction.compact(tag, body.to);
  }

  @Delete(':tag')
  @HttpCode(204)
  @Audited('snapshot.delete')
  @Documented({
    id: 'deleteSnapshot',
    summary: 'Deletes a snapshot',
    description: 'What was forked from it runs on.',
    params: SNAPSHOT_PARAMS,
    success: { status: 204, description: 'It is gone.' },
    errors: {
      400: 'The tag is no tag, or both flags are set.',
      404: 'No such snapshot.',
      409: 'Other snapshots are stored on top of it; the text names them.',
    },
  })
  async remove(
    @Param('tag') tag: string,
    @QueryBool('cascade', 'Delete what is stored on top of it, too.') cascade: boolean,
    @QueryBool('force', 'Delete it although something is stored on top of it, which is broken then.')
    force: boolean,
  ): Promise<void> {
    await this.snapshots.remove(tag, { cascade, force });
  }
}

function requireOneSource({ image, kernel, rootfs }: CreateSnapshotDto): void {
  if (image !== undefined && (kernel !== undefined || rootfs !== undefined)) {
    throw new HttpError(
      422,
      'the request body does not fit: give either `image`, or `kernel` and `rootfs`, not both',
    );
  }
  if (image !== undefined) return;
  const missing = kernel === undefined ? 'kernel' : rootfs === undefined ? 'rootfs' : undefined;
  if (missing !== undefined) {
    throw new HttpError(
      422,
      `the request body does not fit: \`${missing}\` is missing, it must be a string (or give \`image\` in place of \`kernel\` and \`rootfs\`)`,
    );
  }
}
