import 'reflect-metadata';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { DomainError, errorChain } from './common/errors/domain-error';
import { ImagesService } from './modules/images/images.service';

/**
 * The images module as a program, for whoever must not import it. It writes one JSON object a line to stdout: any number
 * of {"type":"progress",...}, then {"type":"result","value"} and exit code 0, or {"type":"error","code","message"} and 1.
 */
async function run(argv: readonly string[], signal: AbortSignal): Promise<unknown> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: { 'image-root': { type: 'string' } },
    allowPositionals: true,
  });
  const root = values['image-root'];
  const [command, name] = positionals;
  if (root === undefined) throw new DomainError('invalid', '--image-root DIR is missing');
  const images = new ImagesService({
    imageRoot: resolve(root),
    agentPath: join(__dirname, 'guest', 'forkd-agent'),
    runtimesPath: join(__dirname, 'guest', 'runtimes'),
  });
  if (command === 'ls') return images.list();
  if (command === 'build' && name !== undefined) {
    return images.build(name, {
      signal,
      onProgress: (progress) => {
        emit({ type: 'progress', ...progress });
      },
    });
  }
  if (command === 'rm' && name !== undefined) {
    await images.remove(name);
    return null;
  }
  throw new DomainError('invalid', 'usage: image-tool build NAME | ls | rm NAME, with --image-root DIR');
}

function emit(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    interrupted.abort(new DomainError('unavailable', 'interrupted; nothing half was left'));
  });
}
run(process.argv.slice(2), interrupted.signal).then(
  (value) => {
    emit({ type: 'result', value });
  },
  (error: unknown) => {
    emit({
      type: 'error',
      code: error instanceof DomainError ? error.code : 'internal',
      message: errorChain(error),
    });
    process.exitCode = 1;
  },
);
