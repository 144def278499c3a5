import { Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import assert from 'node:assert/strict';
import { readFile, rename, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Text } from '../../src/common/http/dto-members';
import { JsonBody } from '../../src/common/http/json-body.decorator';
import { AuditSink } from '../../src/modules/audit/audit-sink';
import { Audited } from '../../src/modules/audit/audited.decorator';
import { Authenticated } from '../../src/modules/auth/access.decorator';
import { type AuditEntry, TEST_TOKEN, TestApp } from '../support/app';

class AnyDto {
  @Text({ optional: true })
  note?: string;
}

let onArrival: () => void = () => undefined;

@Controller('t')
@Authenticated()
class ThingController {
  @Post(':id/make')
  @HttpCode(201)
  @Audited('thing.make')
  make(@Param('id') id: string, @JsonBody() body: AnyDto): object[] {
    return [{ id: `${id}-1`, note: body.note }, { id: `${id}-2` }];
  }

  @Get('slow')
  slow(): Promise<never> {
    onArrival();
    return new Promise(() => undefined);
  }
}

let app: TestApp;
const authorization = `Bearer ${TEST_TOKEN}`;

beforeEach(async () => {
  app = await TestApp.start({ token: TEST_TOKEN, controllers: [ThingController] });
});
afterEach(async () => {
  await app.close();
});

const brief = ({ method, path, status }: AuditEntry): [string, string, number] => [method, path, status];

describe('the audit log', () => {
  it('has one compact line per request, with exactly the six members', async () => {
    const before = Math.floor(Date.now() / 1000) * 1000;
    await app.send('GET', '/version?secret=1', { headers: { authorization, 'user-agent': 'forkd-cli/0.1' } });
    const text = await app.auditText(1);
    assert.match(
      text,
      /^\{"latency_us":\d+,"method":"GET","path":"\/version","status":200,"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ","ua":"forkd-cli\/0\.1"\}\n$/,
    );
    const [entry] = await app.auditEntries(1);
    assert.ok(Date.parse(entry?.ts ?? '') >= before);
  });

  it('has a line for every way a request can end', async () => {
    const json = { authorization, 'content-type': 'application/json' };
    await app.send('GET', '/version');
    await app.send('GET', '/nope', { headers: { authorization } });
    await app.send('PUT', '/version', { headers: { authorization } });
    await app.send('POST', '/t/a/make', { headers: json, body: '{broken' });
    await app.send('POST', '/t/a/make', { headers: { ...json, 'content-length': '3000000' }, body: '' });
    await app.send('POST', '/t/a/make', { headers: { authorization }, body: '{}' });
    await app.send('GET', '/%', { headers: { authorization } });
    await app.send('GET', '/%');
    await app.send('GET', '/healthz');
    const entries = await app.auditEntries(9);
    assert.deepEqual(entries.map(brief), [
      ['GET', '/version', 401],
      ['GET', '/nope', 404],
      ['PUT', '/version', 405],
      ['POST', '/t/a/make', 400],
      ['POST', '/t/a/make', 413],
      ['POST', '/t/a/make', 415],
      ['GET', '/%', 400],
      ['GET', '/%', 401],
      ['GET', '/healthz', 200],
    ]);
    assert.ok(entries.every(({ ua }) => ua === ''));
  });

  it('has a line, status 499, for a client that gave up', async () => {
    const arrival = new Promise<void>((resolve) => {
      onArrival = resolve;
    });
    const call = request({ host: '127.0.0.1', port: app.port, path: '/t/slow', headers: { authorization } });
    call.once('error', () => undefined);
    call.end();
    await arrival;
    call.destroy();
    const entries = await app.auditEntries(1);
    assert.deepEqual(entries.map(brief), [['GET', '/t/slow', 499]]);
  });

  it('says what a mutating route did and to what', async () => {
    await app.sendJson('POST', '/t/a/make', {}, { authorization });
    const [entry] = await app.auditEntries(1);
    assert.equal(entry?.action, 'thing.make');
    assert.deepEqual(entry.targets, ['a', 'a-1', 'a-2']);
  });

  it('never holds the token', async () => {
    await app.send('GET', '/version', { headers: { authorization } });
    await app.send('GET', `/version?token=${TEST_TOKEN}`, {
      headers: { authorization: 'Bearer wrong-wrong-wrong' },
    });
    assert.ok(!(await app.auditText(2)).includes(TEST_TOKEN));
  });

  it('is readable by its owner only and its directory is created', async () => {
    assert.equal((await stat(app.config.auditLogPath)).mode & 0o777, 0o600);
  });

  it('goes on in a new file after a rotation', async () => {
    await app.send('GET', '/healthz');
    await app.auditText(1);
    const rotated = `${app.config.auditLogPath}.1`;
    await rename(app.config.auditLogPath, rotated);
    await app.nest.get(AuditSink).reopen();
    await app.send('GET', '/nope');
    assert.deepEqual((await app.auditEntries(2)).map(brief), [['GET', '/nope', 401]]);
    assert.match(await readFile(rotated, 'utf8'), /healthz/);
  });

  it('is complete after a shutdown', async () => {
    await Promise.all(Array.from({ length: 50 }, () => app.send('GET', '/healthz')));
    await app.nest.close();
    const text = await readFile(app.config.auditLogPath, 'utf8');
    assert.equal(text.match(/"path":"\/healthz"/g)?.length, 50);
  });
});
