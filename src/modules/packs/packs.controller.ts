import { Controller, Get, HttpCode, Param, Post, Req, Res, StreamableFile } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { IncomingMessage } from 'node:http';
import { ClientSignal } from '../../common/http/client-signal.decorator';
import { Documented } from '../../common/http/documented.decorator';
import { QueryText } from '../../common/http/query-text.decorator';
import { discardRest, StreamedBody } from '../../common/http/streamed-body';
import { Audited } from '../audit/audited.decorator';
import { Authenticated } from '../auth/access.decorator';
import { TAG_PATTERN } from '../snapshots/domain/tag';
import { SNAPSHOT_PARAMS } from '../snapshots/wire-schemas';
import { PackingService } from './packing.service';
import { type UnpackedSnapshot, UnpackingService } from './unpacking.service';
import { PACK, UNPACKED_SNAPSHOT } from './wire-schemas';

export const PACK_TYPE = 'application/zstd';

@Controller('v1/snapshots')
@Authenticated()
export class PacksController {
  constructor(
    private readonly packing: PackingService,
    private readonly unpacking: UnpackingService,
  ) {}

  @Get(':tag/pack')
  @Audited('snapshot.pack')
  @Documented({
    id: 'packSnapshot',
    summary: 'A snapshot, and all that it is stored on top of, as one archive',
    description:
      'A `.tar.zst`, see docs/pack-format.md. `x-forkd-content-bytes` says how much is in it before compression. An answer that breaks off is no pack.',
    params: SNAPSHOT_PARAMS,
    success: { status: 200, description: 'The pack.', schema: PACK, contentType: PACK_TYPE },
    errors: {
      400: 'The tag is no tag.',
      404: 'No such snapshot.',
      409: 'It is being written, or its files are not what was written.',
      500: 'A snapshot it is stored on top of is missing, or it cannot be read.',
      503: 'Too many snapshots are being packed.',
    },
  })
  async pack(
    @Param('tag') tag: string,
    @ClientSignal() signal: AbortSignal,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<StreamableFile> {
    const { stream, contentBytes } = await this.packing.pack(tag, signal);
    // The head alone needs none of it.
    if (request.method === 'HEAD') stream.destroy();
    void reply.header('x-forkd-content-bytes', contentBytes);
    return new StreamableFile(stream, {
      type: PACK_TYPE,
      disposition: `attachment; filename="${tag}.forkd.tar.zst"`,
    });
  }

  @Post('unpack')
  @HttpCode(201)
  @Audited('snapshot.unpack')
  @Documented({
    id: 'unpackSnapshot',
    summary: 'Makes a snapshot of a pack',
    description:
      'Nothing is visible before all of the pack was found right. Ancestors that are here with the same content are used.',
    success: { status: 201, description: 'It can be forked.', schema: UNPACKED_SNAPSHOT },
    errors: {
      400: 'The pack is damaged, cut short, too large, or not what its manifest says; or `as` is no tag.',
      409: 'The tag is taken, an ancestor is another one here, or this host cannot restore the snapshot.',
      500: 'It could not be written; nothing is left.',
      503: 'There is no room, or too many packs are being unpacked.',
    },
  })
  async unpack(
    @StreamedBody({ contentType: PACK_TYPE, description: 'A pack.' }) body: IncomingMessage,
    @QueryText('as', 'Its tag here, in place of the one in the pack.', TAG_PATTERN) as: string | undefined,
    @ClientSignal() signal: AbortSignal,
  ): Promise<UnpackedSnapshot> {
    try {
      return await this.unpacking.unpack(body, as, signal);
    } finally {
      discardRest(body);
    }
  }
}
