import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import { ClientSignal } from '../../common/http/client-signal.decorator';
import { Documented } from '../../common/http/documented.decorator';
import { JsonBody } from '../../common/http/json-body.decorator';
import { Audited } from '../audit/audited.decorator';
import { Authenticated } from '../auth/access.decorator';
import type { SandboxUsage } from '../quotas/domain/usage';
import { limitWishOf } from '../quotas/dto/limits.dto';
import type { SandboxRecord } from '../registry/domain/records';
import { SANDBOX_INFO, SANDBOX_LIST } from '../registry/wire-schemas';
import { EvalDto, ExecDto } from './dto/exec.dto';
import { SpawnDto } from './dto/spawn.dto';
import { type EvalAnswer, type ExecAnswer, GuestCallsService } from './guest-calls.service';
import { SandboxesService } from './sandboxes.service';
import { UsageService } from './usage.service';
import { EVAL_RESPONSE, EXEC_RESPONSE, PING_RESPONSE, SANDBOX_PARAMS, SANDBOX_USAGE } from './wire-schemas';

const NO_SANDBOX = 'No such sandbox.';
const NO_GUEST = 'The guest does not answer, or its VM has ended; the text says which.';

@Controller('v1/sandboxes')
@Authenticated()
export class SandboxesController {
  constructor(
    private readonly sandboxes: SandboxesService,
    private readonly guests: GuestCallsService,
    private readonly usage: UsageService,
  ) {}

  @Get()
  @Documented({
    id: 'listSandboxes',
    summary: 'All sandboxes',
    success: {
      status: 200,
      description: 'All of them, those whose VM has ended included.',
      schema: SANDBOX_LIST,
    },
  })
  list(): readonly SandboxRecord[] {
    return this.sandboxes.list();
  }

  @Post()
  @HttpCode(201)
  @Audited('sandbox.create')
  @Documented({
    id: 'spawnSandboxes',
    summary: 'Forks sandboxes from a snapshot',
    description:
      'All or none: when one child fails, the others are removed. Each has answered when it is handed out.',
    success: { status: 201, description: 'The new sandboxes, also for n = 1.', schema: SANDBOX_LIST },
    errors: {
      400: 'A number or the tag is out of its range, or the wish cannot be fulfilled on this host.',
      404: 'No such snapshot.',
      409: 'The snapshot is being written, failed, is damaged, or was made for another host.',
      500: 'A child did not start; nothing is left of the others.',
      503: 'The host has no room for all of them, or more with a network than `--network-range` has addresses for; `Retry-After` tells when to ask again. Nothing was started.',
    },
    example: { snapshot_tag: 'py', n: 2 },
  })
  spawn(@JsonBody() body: SpawnDto, @ClientSignal() signal: AbortSignal): Promise<SandboxRecord[]> {
    return this.sandboxes.spawn(
      {
        snapshotTag: body.snapshot_tag,
        n: body.n,
        perChildNetns: body.per_child_netns,
        networkPolicy: body.network_policy,
        networkAllow: body.network_allow,
        limits: limitWishOf(body),
        prewarm: body.prewarm,
        hugepages: body.hugepages,
      },
      signal,
    );
  }

  @Get(':id')
  @Documented({
    id: 'getSandbox',
    summary: 'One sandbox',
    params: SANDBOX_PARAMS,
    success: { status: 200, description: 'The sandbox.', schema: SANDBOX_INFO },
    errors: { 404: NO_SANDBOX },
  })
  get(@Param('id') id: string): SandboxRecord {
    return this.sandboxes.get(id);
  }

  @Get(':id/usage')
  @Documented({
    id: 'getSandboxUsage',
    summary: 'What a sandbox uses of its host',
    params: SANDBOX_PARAMS,
    success: { status: 200, description: 'Its use until now.', schema: SANDBOX_USAGE },
    errors: { 404: NO_SANDBOX, 409: 'Its VM has ended.' },
  })
  usageOf(@Param('id') id: string): Promise<SandboxUsage> {
    return this.usage.of(id);
  }

  @Delete(':id')
  @HttpCode(204)
  @Audited('sandbox.delete')
  @Documented({
    id: 'deleteSandbox',
    summary: 'Kills a sandbox and forgets it',
    params: SANDBOX_PARAMS,
    success: { status: 204, description: 'It is gone.' },
    errors: { 404: NO_SANDBOX },
  })
  async remove(@Param('id') id: string): Promise<void> {
    await this.sandboxes.remove(id);
  }

  @Post(':id/ping')
  @HttpCode(200)
  @Documented({
    id: 'pingSandbox',
    summary: 'Asks the guest agent whether it is there',
    params: SANDBOX_PARAMS,
    success: { status: 200, description: 'It is.', schema: PING_RESPONSE },
    errors: { 404: NO_SANDBOX, 500: NO_GUEST },
  })
  ping(@Param('id') id: string): Promise<Record<string, unknown>> {
    return this.guests.ping(id);
  }

  @Post(':id/exec')
  @HttpCode(200)
  @Audited('sandbox.exec')
  @Documented({
    id: 'execInSandbox',
    summary: 'Runs a program in a sandbox',
    params: SANDBOX_PARAMS,
    success: { status: 200, description: 'The program has ended.', schema: EXEC_RESPONSE },
    errors: {
      400: '`args` is empty or holds a NUL character, or `timeout_secs` is too large.',
      404: NO_SANDBOX,
      500: NO_GUEST,
    },
    example: { args: ['python3', '-c', 'print(4)'], timeout_secs: 30 },
  })
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
  @Documented({
    id: 'evalInSandbox',
    summary: 'Evaluates code in the warm runtime of a sandbox',
    params: SANDBOX_PARAMS,
    success: {
      status: 200,
      description: 'The code has ended, or its 30 seconds have.',
      schema: EVAL_RESPONSE,
    },
    errors: { 404: NO_SANDBOX, 500: NO_GUEST },
    example: { code: '1+1' },
  })
  eval(
    @Param('id') id: string,
    @JsonBody() body: EvalDto,
    @ClientSignal() signal: AbortSignal,
  ): Promise<EvalAnswer> {
    return this.guests.eval(id, body.code, signal);
  }
}
