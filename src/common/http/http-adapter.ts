import { FastifyAdapter } from '@nestjs/platform-fastify';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { forgetUnreadContentType, holdExpectedBodies, installJsonParser } from './json-body-parser';
import { runInRequest } from './request-context';
import { PlainHttpRefusal } from './plain-http-refusal';
import { isUploading } from './streamed-body';
import { pathOf, type Refusal, type RequestPipeline } from './request-pipeline';
import type { RouteTable } from './route-table';
import type { TlsFiles } from './tls-files';
import { installWebSockets } from './websocket';

/** Time for a client to send its headers, and to send the whole request; the answer, and a streamed body, may take any time. */
const HEADERS_TIMEOUT_MS = 20_000;
const REQUEST_TIMEOUT_MS = 120_000;
const TLS_HANDSHAKE_TIMEOUT_MS = 20_000;
/** Longer than the idle time of the usual load balancers and clients, so that they close first. */
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
/** Past Node's limit for all headers together: parameters are judged by their handlers, never by the router. */
const MAX_PARAM_LENGTH = 65_536;

const JSON_TYPE = 'application/json';

/**
 * Nest's adapter over a Fastify that speaks this API's conventions: requests go through the pipeline first, bodies are read
 * only where declared, unknown paths give 404 and wrong methods 405 with empty bodies, errors are `{"error": text}`.
 */
export class HttpAdapter extends FastifyAdapter {
  private readonly table: RouteTable;
  private readonly tls: TlsFiles | undefined;

  constructor(pipeline: RequestPipeline, table: RouteTable, tls?: TlsFiles) {
    const instance = createInstance(pipeline, tls);
    instance.addHook('onRoute', (route) => {
      table.add(route);
    });
    installJsonParser(instance);
    holdExpectedBodies(instance.server, (request, response) => {
      instance.routing(request, response);
    });
    installHooks(instance, pipeline);
    installWebSockets(instance, pipeline);
    if (tls !== undefined) installTls(instance, tls);
    super(instance);
    this.table = table;
    this.tls = tls;
  }

  /** Reads certificate and key anew, if there are any. Never rejects. */
  async reloadTls(): Promise<void> {
    await this.tls?.reload();
  }

  /** The end of the validity of the server's certificate; undefined for plain HTTP. */
  get certificateValidTo(): Date | undefined {
    return this.tls?.validTo;
  }

  /** Nest would load a middleware engine here, which costs every request and is not used. */
  override init(): Promise<void> {
    return Promise.resolve();
  }

  /** Nest's own handler would answer with a body. */
  override setNotFoundHandler(): ReturnType<FastifyAdapter['setNotFoundHandler']> {
    return this.getInstance<FastifyInstance>().setNotFoundHandler((request, reply) => {
      const allowed = this.table.methodsAt(pathOf(request.raw.url ?? ''));
      if (allowed.length === 0) return reply.code(404).send();
      return reply.code(405).header('allow', allowed.join(',')).send();
    });
  }
}

function createInstance(pipeline: RequestPipeline, tls: TlsFiles | undefined): FastifyInstance {
  const common = {
    genReqId: () => randomUUID(),
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    // During a shutdown what has arrived is still answered, and its connection closed.
    return503OnClosing: false,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply): void => {
      reply.raw.setHeader('x-request-id', request.id);
      const refusal = pipeline.admit(request, reply);
      // These replies do not go through the hooks, so they are written as they are.
      writeRaw(
        reply,
        refusal ?? { status: 400, error: `the request's path cannot be used: ${error.message}` },
      );
    },
    clientErrorHandler: answerUnreadable,
  };
  const instance: FastifyInstance =
    tls === undefined
      ? fastify(common)
      : fastify({ ...common, https: { ...tls.options, handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS } });
  instance.server.headersTimeout = HEADERS_TIMEOUT_MS;
  return instance;
}

function installHooks(instance: FastifyInstance, pipeline: RequestPipeline): void {
  let closing = false;
  instance.addHook('preClose', (done) => {
    closing = true;
    done();
  });
  instance.addHook('onRequest', (request, reply, done) => {
    void reply.header('x-request-id', request.id);
    runInRequest(request.id, () => {
      const refusal = pipeline.admit(request, reply);
      if (refusal !== undefined) {
        void reply.code(refusal.status).send({ error: refusal.error });
        return;
      }
      forgetUnreadContentType(request);
      done();
    });
  });
  instance.addHook('onSend', (request, reply, _payload, done) => {
    const type = reply.getHeader('content-type');
    if (typeof type === 'string' && type.startsWith(`${JSON_TYPE};`))
      void reply.header('content-type', JSON_TYPE);
    if (closing) void reply.header('connection', 'close');
    pipeline.beforeAnswer(request, reply, done);
  });
}

function installTls(instance: FastifyInstance, tls: TlsFiles): void {
  const server: unknown = instance.server;
  if (!(server instanceof TlsServer)) return;
  tls.follow(server);
  const refusal = new PlainHttpRefusal(server);
  instance.addHook('preClose', (done) => {
    refusal.close();
    done();
  });
}

function writeRaw(reply: FastifyReply, { status, error }: Refusal): void {
  const body = JSON.stringify({ error });
  reply.raw.writeHead(status, { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(body) });
  reply.raw.end(body);
}

/** Bytes that are no HTTP request, or one that did not arrive in time: there is no request object to answer through. */
function answerUnreadable(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && isUploading(socket)) return;
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, text] = unreadableAnswer(error.code);
  const body = JSON.stringify({ error: text });
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: ${JSON_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}

function unreadableAnswer(code: string | undefined): [status: string, text: string] {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return ['408 Request Timeout', 'the request did not arrive in time'];
  if (code === 'HPE_HEADER_OVERFLOW') {
    return ['431 Request Header Fields Too Large', 'the request headers are too large'];
  }
  return ['400 Bad Request', 'the request is not valid HTTP/1.1'];
}
