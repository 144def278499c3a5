import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ApiDocument } from '../support/api-document';
import { TestApp } from '../support/app';
import { errorOf } from '../support/thing.controller';

/** Ways to say "somewhere else" in one segment of a path; `victim` lies beside the snapshot root. */
const HOSTILE = [
  '%2e%2e',
  '%2E%2e',
  '..%2f..',
  '%2e%2e%2fvictim',
  '..%2Fvictim',
  'a%2F..%2F..%2Fvictim',
  '%2Fetc%2Fpasswd',
  '%2fvictim',
  '..%5Cvictim',
  '%252e%252e%252fvictim',
  '%2e',
  'victim%00',
  '%00',
  '%0a',
  'victim%2f.',
  '~%2fvictim',
  '%EF%BC%8E%EF%BC%8E%EF%BC%8Fvictim',
];

/** Bytes that are no UTF-8, or no percent encoding. */
const UNDECODABLE = ['%c0%ae%c0%ae%c0%afvictim', '%ff', '%', '%zz', '%2'];

let app: TestApp;
let api: ApiDocument;
let untouched: string[];

const everything = async (): Promise<string[]> =>
  (await readdir(app.directory, { recursive: true }))
    .filter((name) => !name.startsWith('log') && !name.startsWith('state.json'))
    .sort();

before(async () => {
  app = await TestApp.start();
  api = await ApiDocument.load();
  await mkdir(app.config.snapshotRoot, { recursive: true });
  const victim = join(app.config.snapshotRoot, '..', 'victim');
  await mkdir(victim);
  for (const name of ['vmstate', 'memory.bin', 'snapshot.json']) await writeFile(join(victim, name), '{}');
  untouched = await everything();
});
after(async () => {
  await app.close();
});

describe('a path parameter that leads elsewhere', () => {
  it('is refused by every route that has one, and nothing is touched', async () => {
    const operations = api.operations.filter(({ path }) => path.includes('{'));
    assert.ok(operations.length >= 8);
    for (const operation of operations) {
      const parameters = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
      for (const { name, schema } of parameters) {
        for (const value of [...HOSTILE, ...UNDECODABLE]) {
          const path = api.pathOf(operation, { [name]: value });
          const example = api.bodyOf(operation)?.example;
          const answer =
            example === undefined
              ? await app.send(operation.method, path)
              : await app.sendJson(operation.method, path, withoutTag(example));
          const title = `${operation.method} ${path}: ${answer.status} ${answer.text}`;
          const bad = schema.pattern !== undefined || UNDECODABLE.includes(value);
          // A tag is made out of the id where none is given; a request that is no WebSocket's is told so first.
          const either = { '/branch': 400, '/stream': 426 }[/\/[a-z]+$/.exec(operation.path)?.[0] ?? ''];
          assert.ok(answer.status === (bad ? 400 : 404) || answer.status === either, title);
          errorOf(answer);
          api.check(operation.method, path, answer);
        }
      }
    }
    assert.deepEqual(await everything(), untouched);
  });

  it('is refused in every member of a body that is a tag', async () => {
    const tags = ['../victim', '..', '.', '/etc', 'victim\0', 'a/../../victim', '\\..\\victim'];
    for (const operation of api.operations) {
      const body = api.bodyOf(operation);
      if (body === undefined) continue;
      for (const [member, { pattern }] of Object.entries(body.schema.properties)) {
        if (pattern === undefined) continue;
        for (const tag of tags) {
          const path = api.pathOf(operation);
          const answer = await app.sendJson(operation.method, path, { ...body.example, [member]: tag });
          const title = `${operation.method} ${path} ${member}=${tag}: ${answer.status} ${answer.text}`;
          // A parent is compared with the one the sandbox has, so an unknown sandbox comes first.
          assert.ok(answer.status === 400 || (member === 'parent_tag' && answer.status === 404), title);
          errorOf(answer);
        }
      }
    }
    assert.deepEqual(await everything(), untouched);
  });
});

function withoutTag(example: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(example).filter(([member]) => member !== 'tag'));
}
