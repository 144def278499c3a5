import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { TestApp } from '../support/app';
import { errorOf, slow, ThingController } from '../support/thing.controller';

let app: TestApp;

before(async () => {
  app = await TestApp.start({ controllers: [ThingController] });
});
after(async () => {
  await app.close();
});

describe('answers', () => {
  it('give JSON without a charset and the id of the request', async () => {
    const answer = await app.sendJson('POST', '/t/things', { name: 'x' });
    assert.equal(answer.status, 201);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.match(answer.headers['x-request-id']?.toString() ?? '', /^[\w-]{8,}$/);
  });

  it('come from code that knows the id of its request, so that its log lines have it', async () => {
    const ids = new Set<unknown>();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => app.sendJson('POST', '/t/whoami', { tag: 'x'.repeat(200_000) })),
    );
    for (const answer of answers) {
      const { id } = answer.json() as { id: unknown };
      assert.equal(id, answer.headers['x-request-id']);
      ids.add(id);
    }
    assert.equal(ids.size, 20);
  });

  it('have no body with 204', async () => {
    const answer = await app.send('DELETE', '/t/things/a');
    assert.equal(answer.status, 204);
    assert.equal(answer.text, '');
  });
});

describe('routing', () => {
  it('answers 404 with an empty body for unknown paths, other case and trailing slashes', async () => {
    for (const path of ['/nope', '/T/things', '/t/things/', '//t/things', '/t//ping', '/t/things//ping']) {
      const answer = await app.sendJson('POST', path, {});
      assert.deepEqual([path, answer.status, answer.text], [path, 404, '']);
    }
  });

  it('answers 405 with Allow and an empty body for a known path', async () => {
    const wrong = await app.send('PUT', '/t/things/a');
    assert.deepEqual([wrong.status, wrong.headers.allow, wrong.text], [405, 'DELETE', '']);
    const get = await app.send('GET', '/t/things/a%2Fb');
    assert.deepEqual([get.status, get.headers.allow], [405, 'DELETE']);
    const post = await app.send('POST', '/healthz', { headers: { 'content-type': 'nonsense' }, body: 'x' });
    assert.deepEqual([post.status, post.headers.allow], [405, 'GET,HEAD']);
    const options = await app.send('OPTIONS', '/t/things');
    assert.deepEqual([options.status, options.headers.allow], [405, 'POST']);
  });

  it('answers HEAD wherever GET works', async () => {
    const answer = await app.send('HEAD', '/healthz');
    assert.deepEqual([answer.status, answer.text], [200, '']);
  });

  it('decodes path parameters and takes long ones', async () => {
    const slash = await app.send('POST', '/t/things/a%2Fb/ping');
    assert.deepEqual(slash.json(), { id: 'a/b' });
    const long = 'x'.repeat(10_000);
    const answer = await app.send('POST', `/t/things/${long}/ping`);
    assert.deepEqual([answer.status, answer.json()], [200, { id: long }]);
  });

  it('answers 400 for a path that cannot be decoded', async () => {
    for (const path of ['/%', '/t/things/%zz/ping', '/t/things/%ff/ping']) {
      const answer = await app.send('POST', path);
      assert.equal(answer.status, 400, path);
      assert.match(errorOf(answer), /path/);
      assert.ok(answer.headers['x-request-id']);
    }
  });

  it('answers 400 for bytes that are not HTTP', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(app.port, '127.0.0.1', () => socket.write('no http at all\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.once('error', reject);
      socket.once('close', () => {
        resolve(text);
      });
    });
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /\{"error":"[^"]+"\}$/);
  });
});

describe('query flags', () => {
  it('are true or false and nothing else', async () => {
    assert.equal((await app.send('DELETE', '/t/things/a?force=false&other=1')).status, 204);
    assert.equal((await app.send('DELETE', '/t/things/a?force=true')).status, 409);
    for (const query of ['force', 'force=', 'force=1', 'force=TRUE', 'force=true&force=true']) {
      const answer = await app.send('DELETE', `/t/things/a?${query}`);
      assert.equal(answer.status, 400, query);
      assert.match(errorOf(answer), /`force`/);
    }
  });
});

describe('errors', () => {
  it('have the status of their domain code', async () => {
    const statuses = { invalid: 400, unavailable: 503, internal: 500, bug: 500 };
    for (const [code, status] of Object.entries(statuses)) {
      const answer = await app.send('GET', `/t/errors/${code}`);
      assert.equal(answer.status, status, code);
      errorOf(answer);
    }
  });

  it('tell the chain of causes of an internal one', async () => {
    assert.equal(errorOf(await app.send('GET', '/t/errors/internal')), 'exec: agent did not answer');
  });

  it('hide the details of a bug and give the request id to look it up', async () => {
    const answer = await app.send('GET', '/t/errors/bug');
    assert.doesNotMatch(answer.text, /secret/);
    assert.ok(errorOf(answer).includes(answer.headers['x-request-id']?.toString() ?? 'no id'));
  });
});

describe('a shutdown', () => {
  it('lets a request in flight end, then closes its connection, kept alive or not', async () => {
    const stopping = await TestApp.start({ controllers: [ThingController] });
    const agent = new Agent({ keepAlive: true });
    try {
      const arrived = new Promise<() => void>((resolve) => {
        slow.wait = () =>
          new Promise((finish) => {
            resolve(finish);
          });
      });
      const answer = new Promise<[number | undefined, string | undefined]>((resolve, reject) => {
        request({ host: '127.0.0.1', port: stopping.port, path: '/t/slow', agent }, (response) => {
          response.resume();
          resolve([response.statusCode, response.headers.connection]);
        })
          .once('error', reject)
          .end();
      });
      const finish = await arrived;
      const closed = stopping.close();
      await assert.rejects(stopping.send('GET', '/healthz'), /ECONNREFUSED|ECONNRESET/);
      finish();
      assert.deepEqual(await answer, [200, 'close']);
      await closed;
    } finally {
      agent.destroy();
    }
  });
});
