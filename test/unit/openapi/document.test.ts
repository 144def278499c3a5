import { Controller, Get, Param, Post } from '@nestjs/common';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Documented } from '../../../src/common/http/documented.decorator';
import { Bool, OneOf, Text, TextArray, U64 } from '../../../src/common/http/dto-members';
import { JsonBody } from '../../../src/common/http/json-body.decorator';
import { QueryBool } from '../../../src/common/http/query-bool.decorator';
import { routeConfigOf } from '../../../src/common/http/route-config';
import type { RegisteredRoute } from '../../../src/common/http/route-table';
import { arrayOf, count, nullable, optional, record, text } from '../../../src/common/http/schema';
import { bodySchema } from '../../../src/modules/openapi/body-schema';
import { buildDocument, undocumented } from '../../../src/modules/openapi/document';

class BaseDto {
  @Text({ pattern: '^a', description: 'Its name.' })
  name!: string;
}

class ThingDto extends BaseDto {
  @U64({ default: 1, minimum: 1, maximum: 9 })
  n!: number;

  @U64({ nullable: true })
  limit!: number | null;

  @Bool({ default: false })
  flag!: boolean;

  @TextArray({ optional: true, minItems: 1 })
  args?: string[];

  @OneOf(['full', 'diff'], { nullable: true })
  mode!: 'full' | 'diff' | null;
}

interface Thing {
  id: string;
  size: number | null;
  note?: string;
}

const THING = record<Thing>(
  'Thing',
  'A thing.',
  { id: text('Its id.'), size: nullable(count('Bytes.')), note: optional(text('What is to be said.')) },
  { id: 'a', size: null },
);

@Controller('v1/things')
class ThingController {
  @Post(':id')
  @Documented({
    id: 'changeThing',
    summary: 'Changes it',
    params: { id: { description: 'Its id.', example: 'a' } },
    success: { status: 200, description: 'All of them.', schema: arrayOf(THING) },
    errors: { 400: 'It does not like it.', 404: 'No such thing.' },
    example: { name: 'a' },
  })
  change(
    @Param('id') id: string,
    @JsonBody() body: ThingDto,
    @QueryBool('first', 'First.') first: boolean,
    @QueryBool('second') second: boolean,
  ): unknown {
    return { id, body, first, second };
  }

  @Get()
  silent(): string {
    return '';
  }
}

function route(method: string, url: string, handler: object): RegisteredRoute {
  return { method, url, segments: url.split('/'), config: routeConfigOf(handler) };
}

const { prototype } = ThingController;
const change = route('POST', '/v1/things/:id', Reflect.get(prototype, 'change'));
const silent = route('GET', '/v1/things', Reflect.get(prototype, 'silent'));

describe('the schema of a body', () => {
  it('has types, ranges, defaults, null and what is required, inherited members included', () => {
    assert.deepEqual(bodySchema(ThingDto), {
      name: 'ThingRequest',
      json: {
        type: 'object',
        properties: {
          name: { type: 'string', pattern: '^a', description: 'Its name.' },
          n: { type: 'integer', minimum: 1, maximum: 9, default: 1 },
          limit: { type: ['integer', 'null'], minimum: 0, default: null },
          flag: { type: 'boolean', default: false },
          args: { type: 'array', items: { type: 'string' }, minItems: 1 },
          mode: { type: ['string', 'null'], enum: ['full', 'diff', null], default: null },
        },
        required: ['name'],
      },
    });
  });
});

describe('the document', () => {
  it('puts what the decorators say together', () => {
    const document = JSON.parse(JSON.stringify(buildDocument([silent, change]))) as {
      paths: Record<string, Record<string, Record<string, unknown>>>;
      components: { schemas: Record<string, unknown> };
    };
    assert.deepEqual(Object.keys(document.paths), ['/v1/things/{id}']);
    const operation = document.paths['/v1/things/{id}']?.['post'] ?? {};
    assert.deepEqual(operation['tags'], ['things']);
    assert.deepEqual(operation['security'], [{ token: [] }]);
    assert.deepEqual(operation['parameters'], [
      {
        name: 'id',
        in: 'path',
        required: true,
        description: 'Its id.',
        schema: { type: 'string' },
        example: 'a',
      },
      { name: 'first', in: 'query', description: 'First.', schema: { type: 'boolean', default: false } },
      { name: 'second', in: 'query', description: '', schema: { type: 'boolean', default: false } },
    ]);
    const responses = operation['responses'] as Record<string, { description: string; content?: object }>;
    assert.deepEqual(Object.keys(responses), ['200', '400', '401', '404', '413', '415', '422']);
    assert.match(responses['400']?.description ?? '', /^It does not like it\. .*percent-decoded.*flag.*JSON/);
    assert.deepEqual(responses['200']?.content, {
      'application/json': {
        schema: { type: 'array', items: { $ref: '#/components/schemas/Thing' } },
        example: [{ id: 'a', size: null }],
      },
    });
    assert.deepEqual(Object.keys(document.components.schemas), ['Error', 'Thing', 'ThingRequest']);
    assert.deepEqual(document.components.schemas['Thing'], {
      type: 'object',
      description: 'A thing.',
      properties: {
        id: { type: 'string', description: 'Its id.' },
        size: { type: ['integer', 'null'], description: 'Bytes.', minimum: 0 },
        note: { type: 'string', description: 'What is to be said.' },
      },
      required: ['id', 'size'],
      additionalProperties: false,
    });
  });

  it('is the same for any order of the routes', () => {
    const other = { ...change, url: '/v1/other/:id' };
    assert.equal(
      JSON.stringify(buildDocument([change, other])),
      JSON.stringify(buildDocument([other, change])),
    );
  });

  it('names the routes that say nothing, and refuses a path parameter without words', () => {
    assert.deepEqual(undocumented([silent, { ...silent, method: 'HEAD' }, change]), ['GET /v1/things']);
    const renamed = { ...change, url: '/v1/things/:tag', segments: ['', 'v1', 'things', ':tag'] };
    assert.throws(() => buildDocument([renamed]), /does not describe `tag`/);
  });
});
