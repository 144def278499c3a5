import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ClientSignal } from '../../common/http/client-signal.decorator';
import { JsonBody } from '../../common/http/json-body.decorator';
import { Audited } from '../audit/audited.decorator';
import { Authenticated } from '../auth/access.decorator';
import type { SandboxRecord } from '../registry/domain/records';
import { EvalDto, ExecDto } from './dto/exec.dto';
import { SpawnDto } from './dto/spawn.dto';
import { type EvalAnswer, type ExecAnswer, GuestCallsService } from './guest-calls.service';
import { SandboxesService } from './sandboxes.service';

@Controller('v1/sandboxes')
@Authenticated()
export class SandboxesController {
  constructor(
    private readonly sandboxes: SandboxesService,
    private readonly guests: GuestCallsService,
  ) {}

  @Get()
  list(): readonly SandboxRecord[] {
    return this.sandboxes.list();
  }

  @Post()
  @HttpCode(201)
  @Audited('sandbox.create')
  spawn(@JsonBody() body: SpawnDto, @ClientSignal() signal: AbortSignal): Promise<SandboxRecord[]> {
    return this.sandboxes.spawn(
      {
        snapshotTag: body.snapshot_tag,
        n: body.n,
        perChildNetns: body.per_child_netns,
        memoryLimitMib: body.memory_limit_mib,
      },
      signal,
    );
  }

  @Get(':id')
  get(@Param('id') id: string): SandboxRecord {
    return this.sandboxes.get(id);
  }

  @Delete(':id')
  @HttpCode(204)
  @Audited('sandbox.delete')
  async remove(@Param('id') id: string): Promise<void> {
    await this.sandboxes.remove(id);
  }

  @Post(':id/ping')
  @HttpCode(200)
  ping(@Param('id') id: string): Promise<Record<string, unknown>> {
    return this.guests.ping(id);
  }

  @Post(':id/exec')
  @HttpCode(200)
  @Audited('sandbox.exec')
  exec(
    @Param('id') id: string,
    @JsonBody() body: ExecDto,
    @ClientSignal() signal: AbortSignal,
  ): Promise<ExecAnswer> {
    return this.guests.exec(id, body.args, body.timeout_secs, signal);
  }

  @Post(':id/eval')
  @HttpCode(200)
  @Audited('sandbox.eval')
  eval(
    @Param('id') id: string,
    @JsonBody() body: EvalDto,
    @ClientSignal() signal: AbortSignal,
  ): Promise<EvalAnswer> {
    return this.guests.eval(id, body.code, signal);
  }
}
