import { Controller, HttpCode, Param, Post, Res } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Documented } from '../../../common/http/documented.decorator';
import { JsonBody } from '../../../common/http/json-body.decorator';
import { Audited } from '../../audit/audited.decorator';
import { Authenticated } from '../../auth/access.decorator';
import type { SnapshotRecord } from '../../registry/domain/records';
import { SNAPSHOT_INFO } from '../../registry/wire-schemas';
import { BranchDto } from '../dto/branch.dto';
import { SANDBOX_PARAMS } from '../wire-schemas';
import { BranchService } from './branch.service';

@Controller('v1/sandboxes')
@Authenticated()
export class BranchController {
  constructor(private readonly branches: BranchService) {}

  @Post(':id/branch')
  @HttpCode(201)
  @Audited('sandbox.branch')
  @Documented({
    id: 'branchSandbox',
    summary: 'Makes a snapshot of a running sandbox, which runs on',
    description: 'The snapshot does not depend on the sandbox. `{}` is a full branch with a generated tag.',
    params: SANDBOX_PARAMS,
    success: [
      { status: 201, description: 'It can be forked.', schema: SNAPSHOT_INFO },
      {
        status: 202,
        description:
          'With `wait: false`: the work has begun; the list of snapshots tells when it is `ready` or `failed`.',
        schema: SNAPSHOT_INFO,
      },
    ],
    errors: {
      400: 'The tag is no tag, the members contradict each other, `wait: false` is not live, or `parent_tag` is not the snapshot the sandbox was forked from or comes without diff.',
      404: 'No such sandbox.',
      409: 'The tag is taken or being written, or another branch of the sandbox is running.',
      500: 'The VM has ended, or the snapshot could not be written; nothing is left of it and the sandbox runs on.',
      503: 'All branch slots are taken; the same request may succeed later.',
    },
    example: { tag: 'checkpoint-1', mode: 'diff' },
  })
  async branch(
    @Param('id') id: string,
    @JsonBody() body: BranchDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<SnapshotRecord> {
    const { tag, mode, diff, live, wait } = body;
    const record = await this.branches.branch(id, {
      tag,
      mode,
      diff,
      live,
      measureDiff: body.measure_diff,
      wait,
      parentTag: body.parent_tag,
    });
    if (record.status === 'writing') void reply.code(202);
    return record;
  }
}
