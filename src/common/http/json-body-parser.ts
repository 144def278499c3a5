import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { HttpError } from './http-error';
import { type MemberFacts, scanMembers } from './json-scan';

/** Largest accepted body, in bytes. */
export const BODY_LIMIT = 2 * 1024 * 1024;

/** A parsed JSON body with what JSON.parse does not keep. */
export class JsonDocument {
  constructor(
    readonly value: unknown,
    readonly members: ReadonlyMap<string, MemberFacts>,
  ) {}
}

/**
 * Replaces Fastify's body parsers by one that obeys the route: a route declared with `@JsonBody()` gets a
 * {@link JsonDocument}; the body of any other is left unread, whatever its type.
 */
export function installJsonParser(instance: FastifyInstance): void {
  instance.removeAllContentTypeParsers();
  instance.addContentTypeParser('*', (request, payload, done) => {
    if (request.routeOptions.config.jsonBody === undefined) {
      done(null, undefined);
      return;
    }
    parseJson(request, payload).then(
      (document) => {
        done(null, document);
      },
      (error: unknown) => {
        done(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

/** Keeps Fastify from judging the content type of a body that nobody reads. */
export function forgetUnreadContentType(request: FastifyRequest): void {
  if (request.routeOptions.config.jsonBody === undefined) delete request.raw.headers['content-type'];
}

/** @throws HttpError 415 unless the header names JSON. */
export function checkContentType(contentType: string | undefined): void {
  const essence = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (/^application\/(?:[^\s/]+\+)?json$/.test(essence)) return;
  throw new HttpError(415, 'expected a request with content-type: application/json');
}

/** @throws HttpError 400 */
export function emptyBodyError(): HttpError {
  return new HttpError(
    400,
    'the request body is empty, but must be JSON; {} is enough where nothing is required',
  );
}

// A byte order mark is kept, so that it is refused like any other character that JSON does not know.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

async function parseJson(request: FastifyRequest, payload: IncomingMessage): Promise<JsonDocument> {
  checkContentType(request.headers['content-type']);
  const body = await readBody(payload);
  if (body.length === 0) throw emptyBodyError();
  try {
    const text = utf8.decode(body);
    const value: unknown = JSON.parse(text);
    return new JsonDocument(value, scanMembers(text));
  } catch (error) {
    const detail = error instanceof SyntaxError ? error.message : 'it is not UTF-8';
    throw new HttpError(400, `the request body is not valid JSON: ${detail}`);
  }
}

function tooLarge(): HttpError {
  return new HttpError(413, `the request body is larger than ${BODY_LIMIT} bytes`);
}

const held = new WeakMap<IncomingMessage, ServerResponse>();

/**
 * Has clients that send their body only when they are asked to (`expect: 100-continue`) asked no sooner than it is read. Node would
 * ask everyone at once, also those who are not let in.
 */
export function holdExpectedBodies(
  server: Server,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): void {
  server.on('checkContinue', (request, response) => {
    held.set(request, response);
    handle(request, response);
  });
}

/** Errors are made when they are needed only: their stack traces cost more than the body of most requests. */
function readBody(payload: IncomingMessage): Promise<Buffer> {
  const announced = Number(payload.headers['content-length'] ?? 0);
  if (announced > BODY_LIMIT) return Promise.reject(tooLarge());
  held.get(payload)?.writeContinue();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= BODY_LIMIT) {
        chunks.push(chunk);
        return;
      }
      payload.off('data', onData);
      // The rest is thrown away so that the client gets to read the answer.
      payload.resume();
      reject(tooLarge());
    };
    const onClose = (): void => {
      reject(new HttpError(400, 'the connection was closed before the request body was complete'));
    };
    payload.on('data', onData);
    payload.once('end', () => {
      payload.off('close', onClose);
      const [first] = chunks;
      resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks));
    });
    payload.once('error', reject);
    payload.once('close', onClose);
  });
}
