import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BODY_LIMIT } from '../../src/common/http/json-body-parser';
import { JsonBody } from '../../src/common/http/json-body.decorator';
import { type Answer, TestApp } from '../support/app';
import { errorOf, ThingController } from '../support/thing.controller';

let app: TestApp;
before(async () => {
  app = await TestApp.start({ controllers: [ThingController] });
});
after(async () => {
  await app.close();
});

describe('routes with a JSON body', () => {
  const post = (headers: Record<string, string>, body?: string): Promise<Answer> =>
    app.send('POST', '/t/things/gone/branch', { headers, ...(body === undefined ? {} : { body }) });

  it('accept JSON content types with parameters and suffixes', async () => {
    for (const type of ['application/json; charset=utf-8', 'Application/JSON', 'application/vnd.x+json']) {
      assert.equal((await post({ 'content-type': type }, '{}')).status, 404, type);
    }
  });

  it('answer 415 without or with another content type, whatever the body', async () => {
    const answers = [
      await post({}, '{}'),
      await post({}),
      await post({ 'content-type': 'text/plain' }, '{}'),
      await post({ 'content-type': 'application/jsonx' }, '{}'),
      await post({ 'content-type': 'nonsense' }, '{}'),
    ];
    for (const answer of answers) {
      assert.equal(answer.status, 415);
      errorOf(answer);
    }
  });

  it('answer 400 for empty and malformed bodies, before any lookup', async () => {
    const json = { 'content-type': 'application/json' };
    for (const body of ['', undefined, '{', '{"a":1,}', 'nul', '\ufeff{}', '{} {}']) {
      const answer = await post(json, body);
      assert.equal(answer.status, 400, body);
      errorOf(answer);
    }
    const notUtf8 = await app.send('POST', '/t/things', {
      headers: json,
      body: Buffer.from('{"name":"\xff"}', 'latin1'),
    });
    assert.equal(notUtf8.status, 400);
  });

  it('answer 413 past 2 MiB, announced or not, and accept exactly 2 MiB', async () => {
    const exact = `{"name":"${'x'.repeat(BODY_LIMIT - 11)}"}`;
    assert.equal(Buffer.byteLength(exact), BODY_LIMIT);
    assert.equal((await app.sendJson('POST', '/t/things', exact)).status, 201);
    const announced = await post(
      { 'content-type': 'application/json', 'content-length': `${BODY_LIMIT + 1}` },
      '',
    );
    assert.equal(announced.status, 413);
    errorOf(announced);
    const chunked = await post(
      { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
      `${exact} `,
    );
    assert.equal(chunked.status, 413);
  });

  it('answer 422 naming each member of the wrong shape and what is expected', async () => {
    const cases: [body: string, text: RegExp][] = [
      ['[]', /JSON object/],
      ['null', /JSON object/],
      ['{}', /`name` is missing, it must be a string/],
      ['{"name":1}', /`name` must be a string/],
      ['{"name":null}', /`name` must be a string/],
      ['{"name":"x","n":-1}', /`n` must be an unsigned integer/],
      ['{"name":"x","n":1.5}', /`n`/],
      ['{"name":"x","n":1.0}', /`n`/],
      ['{"name":"x","n":1e2}', /`n`/],
      ['{"name":"x","n":"1"}', /`n`/],
      ['{"name":"x","n":null}', /`n`/],
      ['{"name":"x","n":18446744073709551616}', /`n`/],
      ['{"name":"x","limit":"1"}', /`limit` must be an unsigned integer or null/],
      ['{"name":"x","flag":0}', /`flag` must be true or false/],
      ['{"name":"x","flag":"true"}', /`flag`/],
      ['{"name":"x","args":["a",1]}', /`args` must be an array of strings/],
      ['{"name":"x","args":"a"}', /`args`/],
      ['{"name":"x","args":null}', /`args`/],
      ['{"name":"x","mode":"Full"}', /`mode` must be one of "full", "diff" or null/],
      ['{"name":"x","name":"y"}', /`name` is given twice/],
      ['{"name":"x","na\\u006de":"y"}', /`name` is given twice/],
      ['{"name":"\\ud800"}', /`name` must be a string/],
    ];
    for (const [body, text] of cases) {
      const answer = await app.sendJson('POST', '/t/things', body);
      assert.equal(answer.status, 422, body);
      assert.match(errorOf(answer), text);
    }
  });

  it('answer deep nesting like any other wrong shape', async () => {
    const deep = 500_000;
    const answer = await app.sendJson('POST', '/t/things', `{"name":${'['.repeat(deep)}${']'.repeat(deep)}}`);
    assert.equal(answer.status, 422);
    assert.equal((await app.sendJson('POST', '/t/things', `{"name":${'['.repeat(deep)}`)).status, 400);
  });

  it('fill in defaults, accept null where stated and ignore unknown members', async () => {
    const bare = await app.sendJson('POST', '/t/things', '{"name":"x"}');
    assert.deepEqual(bare.json(), { name: 'x', n: 1, limit: null, flag: false, mode: null });
    const full = await app.sendJson(
      'POST',
      '/t/things',
      '{"x":{"name":"y"},"name":"x","n":1000,"limit":null,"flag":true,"args":["a"],"mode":"diff","x":1,"__proto__":{"n":3}}',
    );
    assert.deepEqual(full.json(), { name: 'x', n: 1000, limit: null, flag: true, args: ['a'], mode: 'diff' });
    assert.equal(
      (await app.sendJson('POST', '/t/things', '{"name":"x","n":18446744073709551615}')).status,
      201,
    );
  });
});

describe('routes without a body', () => {
  it('need no content type and never read one', async () => {
    const sent = [
      {},
      { headers: { 'content-type': 'application/json' } },
      { headers: { 'content-type': 'application/json' }, body: '' },
      { headers: { 'content-type': 'application/json' }, body: '{broken' },
      { headers: { 'content-type': 'nonsense' }, body: 'x' },
      { body: 'x'.repeat(BODY_LIMIT + 1) },
    ];
    for (const one of sent) assert.equal((await app.send('POST', '/t/things/a/ping', one)).status, 200);
    const remove = await app.send('DELETE', '/t/things/a', {
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(remove.status, 204);
  });
});

describe('a DTO that is no class at run time', () => {
  it('is refused when the route is declared', () => {
    interface Shape {
      name: string;
    }
    assert.throws(() => {
      class Wrong {
        make(@JsonBody() body: Shape): string {
          return body.name;
        }
      }
      return Wrong;
    }, /needs a DTO class/);
  });
});
