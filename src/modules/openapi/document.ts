import { BODY_LIMIT } from '../../common/http/json-body-parser';
import type {
  DocumentedAnswer,
  RouteDocumentation,
  StreamedContent,
} from '../../common/http/route-documentation';
import type { RegisteredRoute } from '../../common/http/route-table';
import { type NamedSchema, record, referenceTo, text } from '../../common/http/schema';
import { VERSION } from '../../common/version';
import { bodySchema } from './body-schema';

/** A JSON object of the document, members in the order they are written. */
export type Json = Readonly<Record<string, unknown>>;

const ERROR = record<{ error: string }>(
  'Error',
  'What every refusal and failure says.',
  { error: text('The reason, for people, with the next step where there is one. Not to be parsed.') },
  { error: 'sandbox sb-6657e0c0-0000 not found' },
);

const DESCRIPTION = `Forks microVM sandboxes copy-on-write from a warm snapshot.

* Errors are \`{"error": text}\`. An unknown path is 404 and a wrong method 405, both with an empty body.
* HEAD works wherever GET does.
* Unknown members of a body and unknown query parameters are ignored; a known member given twice is refused.
* Integers are unsigned, up to 2^64-1, written without sign, point and exponent. Their type is judged first (422), their range
  by the route (400).
* Times are whole seconds since 1970 (UTC), paths are absolute paths on the daemon's host.
* When the daemon has a token file, every path but \`/healthz\` needs \`Authorization: Bearer <token>\`.`;

const METHODS = ['GET', 'POST', 'DELETE', 'PUT', 'PATCH'];

/** The routes a client can call that say nothing for the document. HEAD is GET without a body and needs no words. */
export function undocumented(routes: readonly RegisteredRoute[]): string[] {
  return routes
    .filter(({ method, config }) => method !== 'HEAD' && config.documentation === undefined)
    .map(({ method, url }) => `${method} ${url}`);
}

/** The OpenAPI 3.1 document of the routes that are documented. The same routes always give the same document. */
export function buildDocument(routes: readonly RegisteredRoute[]): Json {
  const schemas = new Map<string, NamedSchema>();
  const paths = new Map<string, Record<string, Json>>();
  for (const schema of ERROR.named) schemas.set(schema.name, schema);
  for (const route of inOrder(routes)) {
    const { documentation } = route.config;
    if (documentation === undefined || route.method === 'HEAD') continue;
    for (const schema of schemasOf(route, documentation)) schemas.set(schema.name, schema);
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    const operations = paths.get(path) ?? {};
    operations[route.method.toLowerCase()] = operation(route, documentation);
    paths.set(path, operations);
  }
  const named = [...schemas.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    openapi: '3.1.0',
    info: {
      title: 'forkd controller',
      version: VERSION,
      description: DESCRIPTION,
      license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: 'http://127.0.0.1:8889', description: 'The default of --bind.' }],
    paths: Object.fromEntries(paths),
    components: {
      schemas: Object.fromEntries(named.map(({ name, json }) => [name, json])),
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'The content of the token file. Not asked for by a daemon without one.',
        },
      },
    },
  };
}

function inOrder(routes: readonly RegisteredRoute[]): RegisteredRoute[] {
  return [...routes].sort((a, b) => {
    if (a.url !== b.url) return a.url < b.url ? -1 : 1;
    return METHODS.indexOf(a.method) - METHODS.indexOf(b.method);
  });
}

function answersOf({ success }: RouteDocumentation): readonly DocumentedAnswer[] {
  return 'status' in success ? [success] : success;
}

function schemasOf({ config }: RegisteredRoute, documentation: RouteDocumentation): NamedSchema[] {
  const answers = answersOf(documentation).flatMap(({ schema }) => schema?.named ?? []);
  return config.jsonBody === undefined ? answers : [...answers, bodySchema(config.jsonBody)];
}

function operation(route: RegisteredRoute, documentation: RouteDocumentation): Json {
  const { id, summary, description, example } = documentation;
  const { access, jsonBody, streamedBody } = route.config;
  const parameters = [...pathParameters(route, documentation), ...queryParameters(route)];
  return {
    operationId: id,
    tags: [groupOf(route)],
    summary,
    ...(description === undefined ? {} : { description }),
    security: access === 'public' ? [] : [{ token: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(jsonBody === undefined
      ? {}
      : { requestBody: requestBody(referenceTo(bodySchema(jsonBody).name), example) }),
    ...(streamedBody === undefined ? {} : { requestBody: binaryBody(streamedBody) }),
    responses: Object.fromEntries([
      ...answersOf(documentation).map((answer) => [answer.status, successOf(answer)]),
      ...[...refusals(route, documentation)].map(([status, reasons]) => [
        status,
        {
          description: reasons.join(' '),
          content: { 'application/json': { schema: ERROR.json } },
        },
      ]),
    ]) as Json,
  };
}

function groupOf({ segments }: RegisteredRoute): string {
  return segments[1] === 'v1' ? (segments[2] ?? '') : 'daemon';
}

function pathParameters({ url, segments }: RegisteredRoute, { params = {} }: RouteDocumentation): Json[] {
  return segments
    .filter((segment) => segment.startsWith(':'))
    .map((segment) => {
      const name = segment.slice(1);
      const known = params[name];
      if (known === undefined) throw new Error(`the documentation of ${url} does not describe \`${name}\``);
      const { description, example, pattern } = known;
      const schema = { type: 'string', ...(pattern === undefined ? {} : { pattern }) };
      return { name, in: 'path', required: true, description, schema, example };
    });
}

function queryParameters({ config }: RegisteredRoute): Json[] {
  const { queryFlags = [], queryTexts = [] } = config;
  return [
    ...queryFlags.map(({ name, description }) => ({
      name,
      in: 'query',
      description,
      schema: { type: 'boolean', default: false },
    })),
    ...queryTexts.map(({ name, description, pattern }) => ({
      name,
      in: 'query',
      description,
      schema: { type: 'string', pattern },
    })),
  ];
}

function binaryBody({ contentType, description }: StreamedContent): Json {
  return { required: true, description, content: { [contentType]: {} } };
}

function requestBody($ref: string, example: object | undefined): Json {
  const content = { schema: { $ref }, ...(example === undefined ? {} : { example }) };
  return { required: true, content: { 'application/json': content } };
}

function successOf({ description, schema, contentType = 'application/json' }: DocumentedAnswer): Json {
  if (schema === undefined) return { description };
  const { json, example } = schema;
  const content = { schema: json, ...(example === undefined ? {} : { example }) };
  return { description, content: { [contentType]: content } };
}

/** Status to reasons: the route's own, then those of its kind. */
function refusals(
  { config, segments }: RegisteredRoute,
  { errors = {} }: RouteDocumentation,
): Map<number, string[]> {
  const found = new Map<number, string[]>();
  const add = (status: number, reason: string): void => {
    found.set(status, [...(found.get(status) ?? []), reason]);
  };
  for (const [status, reason] of Object.entries(errors)) add(Number(status), reason);
  if (segments.some((segment) => segment.startsWith(':'))) add(400, 'The path cannot be percent-decoded.');
  if ((config.queryFlags ?? []).length > 0) add(400, 'A query flag is not `true` or `false`.');
  if (config.access !== 'public') add(401, 'The token is missing or wrong.');
  if (config.jsonBody !== undefined) {
    add(400, 'The body is empty or no JSON.');
    add(413, `The body is larger than ${BODY_LIMIT} bytes.`);
    add(415, 'The content type is not `application/json`.');
    add(422, 'A member of the body is missing, has the wrong type or is given twice.');
  }
  return found;
}
