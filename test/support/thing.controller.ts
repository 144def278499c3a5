import { Controller, Delete, Get, HttpCode, Param, Post } from '@nestjs/common';
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DomainError } from '../../src/common/errors/domain-error';
import { Bool, OneOf, Text, TextArray, U64 } from '../../src/common/http/dto-members';
import { JsonBody } from '../../src/common/http/json-body.decorator';
import { QueryBool } from '../../src/common/http/query-bool.decorator';
import { currentRequestId } from '../../src/common/http/request-context';
import { Authenticated } from '../../src/modules/auth/access.decorator';
import type { Answer } from './app';

/** What GET /t/slow waits for. */
export const slow = { wait: (): Promise<void> => Promise.resolve() };

class ThingDto {
  @Text()
  name!: string;

  @U64({ default: 1 })
  n!: number;

  @U64({ nullable: true })
  limit!: number | null;

  @Bool({ default: false })
  flag!: boolean;

  @TextArray({ optional: true })
  args?: string[];

  @OneOf(['full', 'diff'], { nullable: true })
  mode!: 'full' | 'diff' | null;
}

class BranchDto {
  @Text({ optional: true })
  tag?: string;
}

/** Routes of every kind, to test the conventions on. */
@Controller('t')
@Authenticated()
export class ThingController {
  @Post('things')
  @HttpCode(201)
  make(@JsonBody() body: ThingDto): ThingDto {
    return body;
  }

  @Post('things/:id/branch')
  branch(@Param('id') id: string, @JsonBody() body: BranchDto): never {
    throw new DomainError('not_found', `${id} ${body.tag ?? ''} not found`);
  }

  @Post('things/:id/ping')
  @HttpCode(200)
  ping(@Param('id') id: string): { id: string } {
    return { id };
  }

  @Delete('things/:id')
  @HttpCode(204)
  remove(@Param('id') id: string, @QueryBool('force') force: boolean): void {
    if (force) throw new DomainError('conflict', `${id} is in use`);
  }

  @Post('whoami')
  async whoami(@JsonBody() body: BranchDto): Promise<{ id: string | undefined; tag: string | undefined }> {
    await nextTurn();
    return { id: currentRequestId(), tag: body.tag };
  }

  @Get('slow')
  async slow(): Promise<{ done: true }> {
    await slow.wait();
    return { done: true };
  }

  @Get('errors/:code')
  fail(@Param('code') code: string): never {
    if (code === 'bug') throw new TypeError('secret detail');
    if (code === 'internal') {
      throw new DomainError('internal', 'exec', { cause: new Error('agent did not answer') });
    }
    throw new DomainError(code === 'invalid' ? 'invalid' : 'unavailable', `it is ${code}`);
  }
}

/** The text of an error answer, which must have the shape that clients rely on. */
export function errorOf(answer: Answer): string {
  const body = answer.json();
  assert.ok(typeof body === 'object' && body !== null && 'error' in body, answer.text);
  assert.deepEqual(Object.keys(body), ['error']);
  assert.ok(typeof body.error === 'string' && body.error !== '');
  assert.equal(answer.headers['content-type'], 'application/json');
  return body.error;
}
