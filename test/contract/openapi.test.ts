import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { BODY_LIMIT } from '../../src/common/http/json-body-parser';
import { RouteTable } from '../../src/common/http/route-table';
import { undocumented } from '../../src/modules/openapi/document';
import { ApiDocument, DOCUMENT_PATH, type MemberSchema, type Operation } from '../support/api-document';
import { TEST_TOKEN, TestApp } from '../support/app';

const authorization = `Bearer ${TEST_TOKEN}`;

let app: TestApp;
let api: ApiDocument;
before(async () => {
  app = await TestApp.start({ token: TEST_TOKEN });
  api = await ApiDocument.load();
});
after(async () => {
  await app.close();
});

describe('docs/openapi.json', () => {
  it('is what the code gives', async () => {
    assert.deepEqual(
      undocumented(app.nest.get(RouteTable).all()),
      [],
      'routes without @Documented(): describe them beside their handlers, then run: npm run openapi',
    );
    const served = await app.send('GET', '/openapi.json', { headers: { authorization } });
    if (served.text !== (await readFile(DOCUMENT_PATH, 'utf8'))) {
      assert.fail('docs/openapi.json is not what the code gives; run: npm run openapi');
    }
  });

  it('has every route of the daemon, and no other', () => {
    const routes = app.nest
      .get(RouteTable)
      .all()
      .filter(({ method }) => method !== 'HEAD')
      .map(({ method, url }) => `${method} ${url.replace(/:(\w+)/g, '{$1}')}`);
    const documented = api.operations.map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(documented.sort(), routes.sort());
  });

  it('is valid OpenAPI 3.1', async () => {
    const { Validator } = await import('@seriousme/openapi-schema-validator');
    const validator = new Validator();
    const result = await validator.validate({ ...structuredClone(api.document) });
    assert.deepEqual(result.errors ?? [], []);
    assert.equal(validator.version, '3.1');
    const ids = api.operations.map(({ operationId }) => operationId);
    assert.equal(new Set(ids).size, ids.length, 'an operationId is used twice');
  });

  it('has examples that fit their schemas', () => {
    for (const operation of api.operations) {
      const contents = [operation.requestBody, ...Object.values(operation.responses)].flatMap((part) =>
        Object.values(part?.content ?? {}),
      );
      for (const { schema, example } of contents) {
        if (example !== undefined) assert.deepEqual(api.problems(schema, example), [], operation.operationId);
      }
      if (operation.requestBody?.content['application/json'] === undefined) continue;
      assert.ok(api.bodyOf(operation)?.example);
    }
  });

  it('says that every error is one text, and that everything but the health paths needs the token', () => {
    for (const { operationId, path, responses, security } of api.operations) {
      for (const [status, { content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        assert.deepEqual(
          content,
          { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
          `${operationId} ${status}`,
        );
      }
      assert.deepEqual(security, /^\/healthz\/?$/.test(path) ? [] : [{ token: [] }], operationId);
    }
  });
});

describe('GET /openapi.json', () => {
  it('needs the token', async () => {
    assert.equal((await app.send('GET', '/openapi.json')).status, 401);
    const answer = await app.send('GET', '/openapi.json', { headers: { authorization } });
    assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/json']);
  });
});

describe('every route of the document', () => {
  const json = { authorization, 'content-type': 'application/json' };
  /** A pack is the one body that is no JSON; unit/packs has what is wrong with those. */
  const withBody = (): Operation[] =>
    api.operations.filter(({ requestBody }) => requestBody?.content['application/json'] !== undefined);

  /** Sends a request, holds the answer against the document, and returns its error text. */
  async function refused(
    status: number,
    { method }: Operation,
    path: string,
    headers: Record<string, string>,
    body?: string,
  ): Promise<string> {
    const answer = await app.send(method, path, { headers, ...(body === undefined ? {} : { body }) });
    assert.equal(answer.status, status, `${method} ${path} ${body ?? ''}: ${answer.text}`);
    api.check(method, path, answer);
    return (answer.json() as { error: string }).error;
  }

  it('asks for the token as it says', async () => {
    for (const operation of api.operations) {
      const path = api.pathOf(operation);
      if (operation.security.length > 0) {
        assert.equal(await refused(401, operation, path, {}), 'missing bearer token');
      } else {
        api.check(operation.method, path, await app.send(operation.method, path));
      }
    }
  });

  it('refuses paths that cannot be decoded, and query flags that are none', async () => {
    for (const operation of api.operations) {
      for (const parameter of operation.parameters ?? []) {
        const path =
          parameter.in === 'path'
            ? api.pathOf(operation, { [parameter.name]: '%zz' })
            : `${api.pathOf(operation)}?${parameter.name}=1`;
        await refused(400, operation, path, json, operation.requestBody && '{}');
      }
    }
  });

  it('refuses bodies without content type, empty, malformed or too large, before anything else', async () => {
    for (const operation of withBody()) {
      const path = api.pathOf(operation);
      for (const body of [undefined, '{}']) await refused(415, operation, path, { authorization }, body);
      await refused(415, operation, path, { authorization, 'content-type': 'text/plain' }, '{}');
      for (const body of ['', '{', '{"a":1,}', 'nul']) await refused(400, operation, path, json, body);
      const large = `{"x":"${'x'.repeat(BODY_LIMIT - 7)}"}`;
      assert.equal(Buffer.byteLength(large), BODY_LIMIT + 1);
      await refused(413, operation, path, json, large);
      for (const body of ['[]', 'null', '1', '"x"']) await refused(422, operation, path, json, body);
    }
  });

  it('refuses members of a wrong type by name, and required ones that are missing', async () => {
    for (const operation of withBody()) {
      const path = api.pathOf(operation);
      const { schema, example } = api.bodyOf(operation) ?? assert.fail();
      const send = (body: object): Promise<string> =>
        refused(422, operation, path, json, JSON.stringify(body));
      for (const [name, member] of Object.entries(schema.properties)) {
        for (const value of misfits(member)) {
          const error = await send({ ...example, [name]: value });
          assert.ok(error.includes(`\`${name}\``), `${operation.operationId} ${name}: ${error}`);
        }
      }
      for (const name of schema.required ?? []) {
        const { [name]: left, ...rest } = example;
        assert.notEqual(left, undefined, `the example of ${operation.operationId} lacks ${name}`);
        assert.match(await send(rest), new RegExp(`\`${name}\` is missing`));
      }
    }
  });

  it('takes null where it says so', async () => {
    for (const operation of withBody()) {
      const { schema, example } = api.bodyOf(operation) ?? assert.fail();
      const gone = { ...example, ...('snapshot_tag' in example ? { snapshot_tag: 'gone' } : {}) };
      for (const [name, member] of Object.entries(schema.properties)) {
        if (!types(member).includes('null')) continue;
        const body = JSON.stringify({ ...gone, [name]: null });
        const answer = await app.send(operation.method, api.pathOf(operation), { headers: json, body });
        assert.notEqual(answer.status, 422, `${operation.operationId} ${name}: ${answer.text}`);
        api.check(operation.method, api.pathOf(operation), answer);
      }
    }
  });
});

const types = ({ type }: MemberSchema): readonly string[] =>
  typeof type === 'string' ? [type] : (type ?? []);

/** Values that are not of the member's type. */
function misfits(member: MemberSchema): unknown[] {
  const wrong: Record<string, unknown[]> = {
    integer: [-1, 1.5, '1', true, [], {}],
    number: ['1', true, [], {}],
    object: ['x', 1, [], false],
    boolean: [0, 1, 'true', [], {}],
    string: [1, false, [], {}, ...(member.enum === undefined ? [] : ['no-such-word', ''])],
    array: ['x', 1, {}, [1], [null]],
    null: [],
  };
  const found = types(member).flatMap((type) => wrong[type] ?? assert.fail(`no misfits for ${type}`));
  return types(member).includes('null') ? found : [...found, null];
}
