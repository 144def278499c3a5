import type { Socket } from 'node:net';
import type { Server } from 'node:tls';

/** Time for a client to send its first byte. */
const FIRST_BYTE_TIMEOUT_MS = 20_000;
/** Time for a client to take its answer and close. */
const LINGER_MS = 2_000;

const BODY = JSON.stringify({ error: 'this port speaks TLS: use https://' });
const ANSWER =
  'HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n' +
  `content-length: ${Buffer.byteLength(BODY)}\r\nconnection: close\r\n\r\n${BODY}`;

/**
 * Looks at the first byte of each connection of a TLS server: a letter, as each HTTP method begins with one, is answered with
 * 400 in plain HTTP, where TLS would only break the connection.
 */
export class PlainHttpRefusal {
  private readonly waiting = new Set<Socket>();
  private closing = false;

  constructor(server: Server) {
    const accept = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      this.look(socket, () => {
        for (const listener of accept) listener.call(server, socket);
      });
    });
  }

  /** Drops the connections on which nothing has arrived yet; they would hold up the end of the server. */
  close(): void {
    this.closing = true;
    for (const socket of this.waiting) socket.destroy();
  }

  private look(socket: Socket, proceed: () => void): void {
    this.waiting.add(socket);
    const settle = (): void => {
      this.waiting.delete(socket);
      socket.setTimeout(0);
      socket.off('timeout', drop).off('error', drop).off('close', settle);
    };
    const drop = (): void => {
      socket.destroy();
    };
    socket.setTimeout(FIRST_BYTE_TIMEOUT_MS);
    socket.once('timeout', drop).once('error', drop).once('close', settle);
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null;
      if (first === null || this.closing) {
        drop();
        return;
      }
      settle();
      if (isLetter(first[0])) {
        refuse(socket);
        return;
      }
      socket.unshift(first);
      proceed();
    });
  }
}

function isLetter(byte: number | undefined): boolean {
  return byte !== undefined && /[A-Za-z]/.test(String.fromCharCode(byte));
}

/** What the client still sends is read, as closing with unread bytes would reset the connection under the answer. */
function refuse(socket: Socket): void {
  const timer = setTimeout(() => {
    socket.destroy();
  }, LINGER_MS).unref();
  socket.once('error', () => {
    socket.destroy();
  });
  socket.once('close', () => {
    clearTimeout(timer);
  });
  socket.end(ANSWER);
  socket.resume();
}
