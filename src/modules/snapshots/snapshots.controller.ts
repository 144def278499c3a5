import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ClientSignal } from '../../common/http/client-signal.decorator';
import { HttpError } from '../../common/http/http-error';
import { JsonBody } from '../../common/http/json-body.decorator';
import { QueryBool } from '../../common/http/query-bool.decorator';
import { Audited } from '../audit/audited.decorator';
import { Authenticated } from '../auth/access.decorator';
import type { SnapshotRecord } from '../registry/domain/records';
import { CreateSnapshotDto } from './dto/create-snapshot.dto';
import { SnapshotsService } from './snapshots.service';

@Controller('v1/snapshots')
@Authenticated()
export class SnapshotsController {
  constructor(private readonly snapshots: SnapshotsService) {}

  @Get()
  list(): Promise<SnapshotRecord[]> {
    return this.snapshots.list();
  }

  @Post()
  @HttpCode(201)
  @Audited('snapshot.create')
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

  @Delete(':tag')
  @HttpCode(204)
  @Audited('snapshot.delete')
  async remove(
    @Param('tag') tag: string,
    @QueryBool('cascade') cascade: boolean,
    @QueryBool('force') force: boolean,
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
