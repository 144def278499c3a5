import { Controller, Get, HttpCode, Post } from '@nestjs/common';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Text } from '../../src/common/http/dto-members';
import { JsonBody } from '../../src/common/http/json-body.decorator';
import { Audited } from '../../src/modules/audit/audited.decorator';
import { Authenticated } from '../../src/modules/auth/access.decorator';
import { TEST_TOKEN, TestApp } from '../support/app';

class AnyDto {
  @Text({ optional: true })
  note?: string;
}

let arrived: () => void = () => undefined;
const forever = (): Promise<never> => {
  arrived();
  return new Promise(() => undefined);
};

@Controller('t')
@Authenticated()
class WaysController {
  @Post('make')
  @HttpCode(201)
  @Audited('thing.make')
  make(@JsonBody() body: AnyDto): object {
    return { id: 'x', note: body.note };
  }

  @Get('hang')
  look(): Promise<never> {
    return forever();
  }

  @Post('hang')
  @Audited('thing.hang')
  hang(): Promise<never> {
    return forever();
  }
}

let app: TestApp;
before(async () => {
  app = await TestApp.start({ token: TEST_TOKEN, controllers: [WaysController] });
});
after(async () => {
  await app.close();
});

const TOKEN = `authorization: Bearer ${TEST_TOKEN}\r\n`;
const JSON_TYPE = 'content-type: application/json\r\n';
const CLOSE = 'connection: close\r\n';

function head(line: string, headers = ''): string {
  return `${line} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`;
}

function withBody(line: string, body: string, headers = TOKEN + JSON_TYPE + CLOSE): string {
  return head(line, `${headers}content-length: ${Buffer.byteLength(body)}\r\n`) + body;
}

async function open(): Promise<Socket> {
  const socket = connect(app.port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Sends bytes and reads until the daemon closes. */
async function exchange(bytes: string): Promise<void> {
  const socket = await open();
  const closed = once(socket, 'close');
  socket.resume();
  socket.write(bytes);
  await closed;
}

/** Sends bytes and breaks the connection when a handler has begun. */
async function abandon(bytes: string): Promise<void> {
  const begun = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const socket = await open();
  socket.write(bytes);
  await begun;
  socket.resetAndDestroy();
}

interface Way {
  readonly name: string;
  readonly go: () => Promise<void>;
  /** Method, path and status of each line. */
  readonly lines: readonly string[];
}

const one = (name: string, bytes: string, line: string): Way => ({
  name,
  go: () => exchange(bytes),
  lines: [line],
});

const WAYS: readonly Way[] = [
  one('200', head('GET /version', TOKEN + CLOSE), 'GET /version 200'),
  one('HEAD', head('HEAD /version', TOKEN + CLOSE), 'HEAD /version 200'),
  one('a mutation', withBody('POST /t/make', '{}'), 'POST /t/make 201'),
  one('401', head('GET /version', CLOSE), 'GET /version 401'),
  one('401 of a mutation', withBody('POST /t/make', '{}', JSON_TYPE + CLOSE), 'POST /t/make 401'),
  one('404', head('GET /nope', TOKEN + CLOSE), 'GET /nope 404'),
  one('405', head('PATCH /version', TOKEN + CLOSE), 'PATCH /version 405'),
  one('415', withBody('POST /t/make', '{}', TOKEN + CLOSE), 'POST /t/make 415'),
  one('malformed JSON', withBody('POST /t/make', '{broken'), 'POST /t/make 400'),
  one('a wrong shape', withBody('POST /t/make', '{"note":1}'), 'POST /t/make 422'),
  one('413', withBody('POST /t/make', `"${'x'.repeat(2_100_000)}"`), 'POST /t/make 413'),
  one(
    '413 in chunks',
    head('POST /t/make', `${TOKEN}${JSON_TYPE}${CLOSE}transfer-encoding: chunked\r\n`) +
      `200100\r\n${' '.repeat(0x200100)}\r\n0\r\n\r\n`,
    'POST /t/make 413',
  ),
  one('a path that cannot be decoded', head('GET /%zz', TOKEN + CLOSE), 'GET /%zz 400'),
  one('such a path without token', head('GET /%zz', CLOSE), 'GET /%zz 401'),
  one('a body nobody reads', withBody('GET /version', 'x', TOKEN + CLOSE), 'GET /version 200'),
  one('HTTP/1.0', `GET /version HTTP/1.0\r\n${TOKEN}\r\n`, 'GET /version 200'),
  {
    name: 'requests one after the other on one connection',
    go: async () => {
      const socket = await open();
      for (const name of ['a', 'b', 'c']) {
        socket.write(head(`GET /keep/${name}`, TOKEN));
        await once(socket, 'data');
      }
      socket.destroy();
    },
    lines: ['GET /keep/a 404', 'GET /keep/b 404', 'GET /keep/c 404'],
  },
  {
    name: 'pipelined requests',
    go: () =>
      exchange(
        head('GET /pipe/a', TOKEN) +
          withBody('POST /t/make', '{}', TOKEN + JSON_TYPE) +
          head('GET /pipe/b', TOKEN + CLOSE),
      ),
    lines: ['GET /pipe/a 404', 'POST /t/make 201', 'GET /pipe/b 404'],
  },
  {
    name: 'a client that leaves in the middle of its body',
    go: async () => {
      const socket = await open();
      socket.write(head('POST /t/make', `${TOKEN}${JSON_TYPE}content-length: 1000\r\n`) + '{"note"');
      // Its bytes are read when another connection, which came later, has its answer.
      await exchange(head('GET /after', TOKEN + CLOSE));
      socket.resetAndDestroy();
    },
    lines: ['GET /after 404', 'POST /t/make 499'],
  },
  {
    name: 'a client that leaves while it waits',
    go: () => abandon(head('GET /t/hang', TOKEN)),
    lines: ['GET /t/hang 499'],
  },
  {
    name: 'a client that leaves while it waits for a mutation',
    go: () => abandon(withBody('POST /t/hang', '', TOKEN)),
    lines: ['POST /t/hang 499'],
  },
];

describe('the audit log has exactly one line for', () => {
  let total = 0;
  for (const { name, go, lines } of WAYS) {
    it(name, async () => {
      await go();
      const before = total;
      total += lines.length;
      const entries = (await app.auditEntries(total)).slice(before);
      const told = entries.map(({ method, path, status }) => `${method} ${path} ${status}`);
      assert.deepEqual(told.sort(), [...lines].sort());
    });
  }

  it('all of them together, also when more requests have come', async () => {
    await exchange(head('GET /last', TOKEN + CLOSE));
    assert.equal((await app.auditEntries(total + 1)).length, total + 1);
  });
});
