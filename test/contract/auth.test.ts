import { Controller, Get, Post } from '@nestjs/common';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Text } from '../../src/common/http/dto-members';
import { JsonBody } from '../../src/common/http/json-body.decorator';
import { RouteTable } from '../../src/common/http/route-table';
import { TEST_TOKEN, TestApp } from '../support/app';

class AnyDto {
  @Text({ optional: true })
  note?: string;
}

/** Declares no access on purpose. */
@Controller('undeclared')
class UndeclaredController {
  @Get()
  get(): string {
    return 'open';
  }

  @Post()
  post(@JsonBody() body: AnyDto): AnyDto {
    return body;
  }
}

const bearer = (token: string): { headers: Record<string, string> } => ({
  headers: { authorization: `Bearer ${token}` },
});

describe('with a token', () => {
  let app: TestApp;
  before(async () => {
    app = await TestApp.start({ token: TEST_TOKEN, controllers: [UndeclaredController] });
  });
  after(async () => {
    await app.close();
  });

  it('answers 401 without one, on unknown paths and wrong methods as well', async () => {
    const paths = [
      '/version',
      '/metrics',
      '/nope',
      '/healthz/x',
      '//healthz',
      '/HEALTHZ',
      '/%68ealthz',
      '/healthz%2F',
      '/%',
    ];
    for (const path of paths) {
      const answer = await app.send('GET', path);
      assert.deepEqual([path, answer.status, answer.text], [path, 401, '{"error":"missing bearer token"}']);
      assert.equal(answer.headers['www-authenticate'], undefined);
      assert.equal(answer.headers['content-type'], 'application/json');
    }
    assert.equal((await app.send('POST', '/healthz')).status, 401);
  });

  it('leaves /healthz and /healthz/ open, with a query and for HEAD', async () => {
    for (const path of ['/healthz', '/healthz/', '/healthz?x=1']) {
      const answer = await app.send('GET', path);
      assert.deepEqual([path, answer.status, answer.text], [path, 200, '{"ok":true}']);
      assert.equal((await app.send('HEAD', path)).status, 200);
    }
  });

  it('tells a missing token from a wrong one', async () => {
    const cases: [header: string, error: string][] = [
      [`bearer ${TEST_TOKEN}`, 'missing bearer token'],
      [`Basic ${TEST_TOKEN}`, 'missing bearer token'],
      ['Bearer ', 'missing bearer token'],
      ['Bearer', 'missing bearer token'],
      ['Bearer wrong', 'invalid bearer token'],
      [`Bearer ${TEST_TOKEN}x`, 'invalid bearer token'],
      [`Bearer ${TEST_TOKEN.slice(0, -1)}`, 'invalid bearer token'],
    ];
    for (const [authorization, error] of cases) {
      const answer = await app.send('GET', '/version', { headers: { authorization } });
      assert.deepEqual([authorization, answer.status, answer.json()], [authorization, 401, { error }]);
    }
  });

  it('accepts the token with white space around it', async () => {
    assert.equal((await app.send('GET', '/version', bearer(TEST_TOKEN))).status, 200);
    assert.equal((await app.send('GET', '/version', bearer(`  ${TEST_TOKEN}\t`))).status, 200);
    assert.equal((await app.send('GET', '/nope', bearer(TEST_TOKEN))).status, 404);
  });

  it('judges the token before it looks at the body', async () => {
    const bodies = [
      { headers: { 'content-type': 'application/json' }, body: '{broken' },
      { headers: { 'content-type': 'text/plain' }, body: 'x' },
      { headers: { 'content-type': 'application/json', 'content-length': '99999999' }, body: '' },
    ];
    for (const sent of bodies) assert.equal((await app.send('POST', '/undeclared', sent)).status, 401);
  });

  it('answers 401 at once to headers whose body has not come, and asks for no body it will not read', async () => {
    const cases = [
      'POST /undeclared HTTP/1.1\r\ncontent-length: 1000000\r\n',
      'POST /undeclared HTTP/1.1\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n',
      'POST /undeclared HTTP/1.1\r\ntransfer-encoding: chunked\r\n',
      'POST /nope HTTP/1.1\r\ncontent-length: 99999999\r\n',
      'PATCH /version HTTP/1.1\r\ncontent-length: 10\r\n',
      'POST /%zz HTTP/1.1\r\ncontent-length: 10\r\n',
    ];
    for (const head of cases) {
      const socket = connect(app.port, '127.0.0.1');
      socket.write(`${head}host: x\r\ncontent-type: application/json\r\n\r\n`);
      const [first] = (await once(socket, 'data')) as [Buffer];
      assert.match(first.toString(), /^HTTP\/1\.1 401 /, head);
      socket.destroy();
    }
  });

  it('asks a client that waits to be asked for its body, once it is let in', async () => {
    const body = '{"note":"x"}';
    const headers =
      `host: x\r\nauthorization: Bearer ${TEST_TOKEN}\r\ncontent-type: application/json\r\n` +
      `content-length: ${body.length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`;
    const socket = connect(app.port, '127.0.0.1');
    socket.write(`POST /undeclared HTTP/1.1\r\n${headers}`);
    const [asked] = (await once(socket, 'data')) as [Buffer];
    assert.equal(asked.toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
    socket.write(body);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 201 [^]*\{"note":"x"\}$/);
  });

  it('keeps routes closed that declare nothing', async () => {
    assert.equal((await app.send('GET', '/undeclared')).status, 401);
    assert.equal((await app.send('GET', '/undeclared', bearer(TEST_TOKEN))).status, 200);
  });
});

describe('without a token', () => {
  it('is open', async () => {
    const app = await TestApp.start();
    try {
      assert.equal((await app.send('GET', '/version')).status, 200);
    } finally {
      await app.close();
    }
  });
});

describe('access rules', () => {
  it('are declared by every route of the daemon', async () => {
    const app = await TestApp.start();
    try {
      const routes = app.nest.get(RouteTable).all();
      assert.ok(routes.length >= 6);
      const undeclared = routes.filter(({ config }) => config.access === undefined);
      assert.deepEqual(
        undeclared.map(({ method, url }) => `${method} ${url}`),
        [],
      );
      const open = routes.filter(({ config }) => config.access === 'public').map(({ url }) => url);
      assert.deepEqual([...new Set(open)].sort(), ['/healthz', '/healthz/']);
    } finally {
      await app.close();
    }
  });

  it('are missed where a controller declares none', async () => {
    const app = await TestApp.start({ controllers: [UndeclaredController] });
    try {
      const undeclared = app.nest
        .get(RouteTable)
        .all()
        .filter(({ config }) => config.access === undefined);
      assert.deepEqual([...new Set(undeclared.map(({ url }) => url))], ['/undeclared']);
    } finally {
      await app.close();
    }
  });
});
