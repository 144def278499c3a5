import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';

/** Prints each datagram as a line of JSON. systemd-notify passes a descriptor along and waits until it is closed. */
const RECEIVER = `
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
print(json.dumps("listening"), flush=True)
while True:
    data, descriptors, _, _ = socket.recv_fds(server, 65536, 8)
    for descriptor in descriptors:
        os.close(descriptor)
    if data != b"BARRIER=1":
        print(json.dumps(data.decode()), flush=True)
`;

/** The service manager's end of NOTIFY_SOCKET. */
export class NotifySocket {
  private readonly lines: AsyncIterator<string>;

  private constructor(
    private readonly directory: string,
    readonly path: string,
    private readonly receiver: ChildProcess,
    lines: Interface,
  ) {
    this.lines = lines[Symbol.asyncIterator]();
  }

  static async listen(): Promise<NotifySocket> {
    const directory = await mkdtemp(join(tmpdir(), 'forkd-notify-'));
    const path = join(directory, 'socket');
    const receiver = spawn('python3', ['-c', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const socket = new NotifySocket(directory, path, receiver, createInterface({ input: receiver.stdout }));
    await socket.next();
    return socket;
  }

  /** The next message, assignments separated by line feeds. */
  async next(): Promise<string> {
    const line = await this.lines.next();
    if (line.done === true) throw new Error('the receiver has ended');
    return JSON.parse(line.value) as string;
  }

  async close(): Promise<void> {
    this.receiver.kill();
    await once(this.receiver, 'close');
    await rm(this.directory, { recursive: true });
  }
}
