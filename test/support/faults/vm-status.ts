import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Asks QEMU itself whether its guest runs, by the connection that the next daemon will use. */
export async function vmStatus(runDir: string): Promise<string> {
  const socket = createConnection(join(runDir, 'qmp'));
  const lines = createInterface({ input: socket });
  socket.write('{"execute":"qmp_capabilities"}\n{"execute":"query-status","id":"status"}\n');
  try {
    for await (const line of lines) {
      const message = JSON.parse(line) as { id?: string; return?: { status: string } };
      if (message.id === 'status') return message.return?.status ?? '';
    }
    throw new Error('QEMU closed the connection');
  } finally {
    socket.destroy();
    await once(socket, 'close');
  }
}
