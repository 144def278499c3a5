import { Controller, Get, HttpCode, Param, Post } from '@nestjs/common';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Text } from '../../src/common/http/dto-members';
import { JsonBody } from '../../src/common/http/json-body.decorator';
import { AuditSink } from '../../src/modules/audit/audit-sink';
import { Audited } from '../../src/modules/audit/audited.decorator';
import { Authenticated } from '../../src/modules/auth/access.decorator';
import { type Answer, type AuditEntry, type StartOptions, TEST_TOKEN, TestApp } from '../support/app';
import { DaemonProcesses } from '../support/daemon-process';
import { RecordedLog } from '../support/recorded-log';

const run = promisify(execFile);
/** printf %s correct-horse-battery-staple | sha256sum */
const TOKEN_ID = '87cbebfe';

class MakeDto {
  @Text({ optional: true })
  secret?: string;
}

const made: string[] = [];

@Controller('t')
@Authenticated()
class ThingController {
  @Post(':id/make')
  @HttpCode(201)
  @Audited('thing.make')
  make(@Param('id') id: string, @JsonBody() body: MakeDto): object {
    made.push(id);
    return { id: `${id}-made`, secret: body.secret };
  }

  @Get(':id')
  look(@Param('id') id: string): object {
    return { id };
  }
}

function entriesIn(text: string): AuditEntry[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEntry);
}

let directory: string;
let logPath: string;
let app: TestApp | undefined;
beforeEach(async () => {
  made.length = 0;
  directory = await mkdtemp(join(tmpdir(), 'forkd-audit-'));
  logPath = join(directory, 'audit.log');
});
afterEach(async () => {
  await app?.close();
  app = undefined;
  await rm(directory, { recursive: true, force: true });
});

async function start(options: StartOptions = {}): Promise<TestApp> {
  app = await TestApp.start({
    token: TEST_TOKEN,
    controllers: [ThingController],
    ...options,
    settings: { auditLogPath: logPath, ...options.settings },
  });
  return app;
}

const headers = { authorization: `Bearer ${TEST_TOKEN}` };
const make = (host: TestApp, id: string, body: object = {}): Promise<Answer> =>
  host.sendJson('POST', `/t/${id}/make`, body, headers);
const failures = async (host: TestApp): Promise<number> => {
  const { text } = await host.send('GET', '/metrics', { headers });
  return Number(/^forkd_audit_failures_total (\d+)$/m.exec(text)?.[1]);
};

describe('the line of a mutating request', () => {
  it('is in the file before the answer is sent, whatever the answer is', async () => {
    const host = await start();
    for (const [id, body, status] of [
      ['a', '{}', 201],
      ['b', '{broken', 400],
      ['c', '{"secret":1}', 422],
    ] as const) {
      const answer = await host.sendJson('POST', `/t/${id}/make`, body, headers);
      assert.equal(answer.status, status);
      const last = entriesIn(await readFile(logPath, 'utf8')).at(-1);
      assert.deepEqual([last?.path, last?.status], [`/t/${id}/make`, status]);
    }
    assert.equal((await host.auditEntries(3)).length, 3);
  });

  it('says who did what: token id and address, and nothing of a refused token or the body', async () => {
    const host = await start();
    await make(host, 'a', { secret: 'hunter2', n: 3, tag: 'py' });
    await host.sendJson('POST', '/t/b/make', {}, { authorization: 'Bearer wrong-wrong-wrong' });
    await host.sendJson('POST', '/t/c/make', { tag: 'not a tag', n: 1.5, secret: '' }, headers);
    const text = await host.auditText(3);
    assert.doesNotMatch(text, /hunter2|correct-horse|wrong-wrong|not a tag/);
    const [first, second, third] = entriesIn(text).map((entry) => {
      const always = new Set(['latency_us', 'ts', 'ua', 'method']);
      return Object.fromEntries(Object.entries(entry).filter(([name]) => !always.has(name)));
    });
    const who = { action: 'thing.make', remote: '127.0.0.1' };
    assert.deepEqual(first, {
      path: '/t/a/make',
      status: 201,
      ...who,
      token: TOKEN_ID,
      targets: ['a', 'a-made'],
      n: 3,
      tag: 'py',
    });
    assert.deepEqual(second, { path: '/t/b/make', status: 401, ...who, targets: ['b'] });
    assert.deepEqual(third, {
      path: '/t/c/make',
      status: 201,
      ...who,
      token: TOKEN_ID,
      targets: ['c', 'c-made'],
    });
  });

  it('survives kill -9 of the daemon: every answered request has exactly one', async () => {
    const daemons = await DaemonProcesses.create();
    try {
      const answered = new Set<string>();
      for (let round = 0; round < 3; round += 1) {
        const daemon = await daemons.serve();
        let killed = false;
        const client = async (name: string): Promise<void> => {
          const agent = new Agent({ keepAlive: true, maxSockets: 1 });
          for (let index = 0; !killed; index += 1) {
            const id = `sb-${round}-${name}-${index}`;
            const status = await new Promise<number | undefined>((resolve) => {
              const call = request(`${daemon.url}/v1/sandboxes/${id}`, { method: 'DELETE', agent });
              call.once('error', () => {
                resolve(undefined);
              });
              call.once('response', (response) => {
                response.on('error', () => undefined).resume();
                resolve(response.statusCode);
              });
              call.end();
            });
            if (status === undefined) continue;
            assert.equal(status, 404);
            answered.add(id);
            if (answered.size >= (round + 1) * 150) {
              killed = true;
              daemon.child.kill('SIGKILL');
            }
          }
          agent.destroy();
        };
        await Promise.all(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(client));
        await daemon.end('SIGKILL').catch(() => undefined);
      }
      const text = await readFile(daemons.path('log/audit.log'), 'utf8');
      assert.ok(text.endsWith('\n'));
      const ids = entriesIn(text).map(({ targets }) => targets?.[0] ?? '');
      assert.equal(new Set(ids).size, ids.length);
      const missing = [...answered].filter((id) => !ids.includes(id));
      assert.deepEqual(missing, []);
    } finally {
      await daemons.close();
    }
  });
});

describe('a log that cannot be written', () => {
  /** The path leads to a device that is always full; `repair` makes it lead to a file. */
  beforeEach(async () => {
    await symlink('/dev/full', logPath);
  });
  const repair = async (host: TestApp): Promise<AuditEntry[]> => {
    await rm(logPath);
    await host.nest.get(AuditSink).reopen();
    return entriesIn(await readFile(logPath, 'utf8'));
  };

  it('stops nobody, but is loud; its lines are written when it can be', async () => {
    const logger = new RecordedLog();
    const host = await start({ logger });
    assert.equal((await make(host, 'a')).status, 201);
    assert.equal((await make(host, 'b')).status, 201);
    assert.equal((await host.send('GET', '/healthz')).status, 200);
    await host.requestsOver(3);
    assert.equal(await failures(host), 3);
    await host.requestsOver(4);
    const loud = logger.lines.filter(({ level }) => level === 'error').map(({ text }) => text);
    assert.equal(loud.length, 1, loud.join('\n'));
    assert.match(loud[0] ?? '', /audit log .* cannot be written: ENOSPC.*kept in memory/);

    const entries = await repair(host);
    assert.deepEqual(
      entries.map(({ path, status }) => [path, status]),
      [
        ['/t/a/make', 201],
        ['/t/b/make', 201],
        ['/healthz', 200],
        ['/metrics', 200],
      ],
    );
    await logger.said('warn', /can be written again/);
  });

  it('refuses changes with --audit-required, before they are made once it is known', async () => {
    const host = await start({ settings: { auditLogPath: logPath, auditRequired: true } });
    const first = await make(host, 'a');
    assert.equal(first.status, 503);
    assert.match(
      first.text,
      /^\{"error":"the change was made, but not recorded: .*ENOSPC.*--audit-required"\}$/,
    );
    assert.equal(first.headers['content-type'], 'application/json');
    const second = await make(host, 'b');
    assert.equal(second.status, 503);
    assert.match(second.text, /nothing was changed: .*ENOSPC/);
    assert.deepEqual(made, ['a']);
    assert.equal((await host.send('GET', '/t/x', { headers })).status, 200);
    assert.equal((await host.send('GET', '/healthz')).status, 200);

    await host.requestsOver(4);
    const told = (await repair(host)).map(({ path, status }) => [path, status]);
    assert.deepEqual(told, [
      ['/t/a/make', 503],
      ['/t/b/make', 503],
      ['/t/x', 200],
      ['/healthz', 200],
    ]);
    assert.equal((await make(host, 'c')).status, 201);
    assert.deepEqual(made, ['a', 'c']);
  });
});

describe('a full disk', { skip: process.getuid?.() === 0 ? false : 'mounting needs root' }, () => {
  let mount: string;
  let ballast: string;
  beforeEach(async () => {
    mount = join(directory, 'disk');
    ballast = join(mount, 'ballast');
    await mkdir(mount);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', mount]);
    logPath = join(mount, 'audit.log');
  });
  afterEach(async () => {
    await run('umount', ['--lazy', mount]);
  });

  it('refuses changes with --audit-required before they are made, until there is room', async () => {
    const host = await start({ settings: { auditLogPath: logPath, auditRequired: true } });
    assert.equal((await make(host, 'a')).status, 201);
    await writeFile(ballast, Buffer.alloc(1_000_000)).catch(() => undefined);
    const refused = await make(host, 'b');
    assert.deepEqual([refused.status, made], [503, ['a']]);
    assert.match(refused.text, /nothing was changed: .*full/);
    await truncate(ballast);
    assert.equal((await make(host, 'c')).status, 201);
    assert.deepEqual(
      (await host.auditEntries(3)).map(({ path, status }) => [path, status]),
      [
        ['/t/a/make', 201],
        ['/t/b/make', 503],
        ['/t/c/make', 201],
      ],
    );
  });

  it('loses, doubles and tears no line', async () => {
    const host = await start();
    await writeFile(ballast, Buffer.alloc(1_000_000)).catch(() => undefined);
    // More than fits into the last page of the file, so that a write ends in the middle of a line.
    for (let index = 0; index < 60; index += 1) assert.equal((await make(host, `x${index}`)).status, 201);
    await host.auditText(60);
    const full = await readFile(logPath, 'utf8');
    assert.ok(full.length < 60 * 100);
    await truncate(ballast);
    assert.equal((await make(host, 'last')).status, 201);
    const ids = (await host.auditEntries(61)).map(({ targets }) => targets?.[0]);
    assert.deepEqual(ids, [...Array.from({ length: 60 }, (_, index) => `x${index}`), 'last']);
  });
});
