import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Server as TlsServer } from 'node:tls';
import { type WebSocket, WebSocketServer } from 'ws';
import { HttpError } from './http-error';
import type { RequestPipeline } from './request-pipeline';

/** Largest message a client may send, in bytes: a frame of 64 KiB and the byte in front of it. */
export const MAX_MESSAGE_BYTES = 65_537;

/** RFC 6455, 4.1: 16 bytes as base64. */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
const VERSION = '13';

interface Offer {
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly pipeline: RequestPipeline;
}

const offers = new WeakMap<IncomingMessage, Offer>();
const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: MAX_MESSAGE_BYTES,
  perMessageDeflate: false,
  clientTracking: false,
});

/**
 * Lets requests that offer a WebSocket take the way of all requests; a handler with {@link WebSocketOffer} may accept. Offers of
 * other protocols are ignored, as HTTP allows: the request is answered as it is.
 */
export function installWebSockets(instance: FastifyInstance, pipeline: RequestPipeline): void {
  const { server } = instance;
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.method !== 'GET' || request.headers.upgrade?.toLowerCase() !== 'websocket') {
      // Node's parser has let go of the connection; it gets the request again, without the offer.
      socket.unshift(Buffer.concat([withoutOffer(request), head]));
      server.emit(server instanceof TlsServer ? 'secureConnection' : 'connection', socket);
      return;
    }
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Parameters<typeof response.assignSocket>[0]);
    response.once('finish', () => {
      socket.end();
    });
    socket.on('error', () => {
      socket.destroy();
    });
    offers.set(request, { socket, head, pipeline });
    instance.routing(request, response);
  });
}

/** The request's head as it was sent, but for the headers that offer another protocol. */
function withoutOffer({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method ?? 'GET'} ${url ?? '/'} HTTP/${httpVersion}`];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    const value = rawHeaders[index + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'upgrade' || lower === 'http2-settings') continue;
    if (lower !== 'connection') lines.push(`${name}: ${value}`);
    else {
      const kept = value.split(',').filter((token) => !/^\s*(upgrade|http2-settings)\s*$/i.test(token));
      if (kept.length > 0) lines.push(`${name}:${kept.join(',')}`);
    }
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/** A client's wish to speak a protocol over a WebSocket. */
export class PendingWebSocket {
  constructor(
    private readonly request: FastifyRequest,
    private readonly reply: FastifyReply,
  ) {}

  /**
   * Checks the offer, before the handler does anything for it.
   *
   * @param protocol the subprotocol the client must offer; it names a version.
   * @throws HttpError 426 for an ordinary request, 403 for one of a browser's page, 400 for one that is not well-formed.
   */
  require(protocol: string): void {
    const { headers, raw } = this.request;
    if (!offers.has(raw) || headers['sec-websocket-version'] !== VERSION) {
      void this.reply.headers({ upgrade: 'websocket', 'sec-websocket-version': VERSION });
      throw new HttpError(
        426,
        `this route speaks WebSocket (version ${VERSION}) with the subprotocol ${protocol}`,
      );
    }
    if (headers.origin !== undefined) {
      throw new HttpError(403, 'requests of web pages (with an Origin header) are refused here');
    }
    if (!KEY.test(headers['sec-websocket-key'] ?? ''))
      throw new HttpError(400, 'the Sec-WebSocket-Key is missing or malformed');
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
    if (!offered.includes(protocol)) {
      throw new HttpError(400, `offer the subprotocol ${protocol} in Sec-WebSocket-Protocol`);
    }
    headers['sec-websocket-protocol'] = protocol;
  }

  /**
   * Switches to the WebSocket; the request's audit line is written first.
   *
   * @throws HttpError when the line had to be written and could not be; Error when the client has gone.
   */
  async accept(): Promise<WebSocket> {
    const { request, reply } = this;
    const offer = offers.get(request.raw);
    if (offer === undefined) throw new Error('there is no offer to accept');
    const refusal = await offer.pipeline.beforeUpgrade(request);
    if (refusal !== undefined) throw new HttpError(refusal.status, refusal.error);
    const { socket, head } = offer;
    if (socket.destroyed) throw new Error('the client closed its connection');
    offers.delete(request.raw);
    const response = reply.raw;
    reply.hijack();
    response.detachSocket(socket as Parameters<typeof response.detachSocket>[0]);
    // For those who look at the response when the connection is over; the WebSocket writes the real one.
    response.writeHead(101);
    socket.once('close', () => {
      response.emit('close');
    });
    return new Promise((resolve) => {
      sockets.handleUpgrade(request.raw, socket, head, resolve);
    });
  }
}

/** The parameter of a handler that a WebSocket may be opened on. */
export const WebSocketOffer = createParamDecorator((_: unknown, context: ExecutionContext) => {
  const http = context.switchToHttp();
  return new PendingWebSocket(http.getRequest<FastifyRequest>(), http.getResponse<FastifyReply>());
});
