import { ContractServer } from './contract-server';

/** A process started like the daemon: answers by the contract, dies at once, or never listens. */
async function main(): Promise<void> {
  const bind = process.argv[process.argv.indexOf('--bind') + 1] ?? '';
  const behaviour = process.env['FORKD_ENGINE'];
  console.log(`settings from outside: ${process.env['FORKD_TOKEN_FILE'] ?? 'none'}`);
  if (behaviour === 'dies') {
    console.log('the reason of its death');
    process.exitCode = 3;
    return;
  }
  const keepAlive = setInterval(() => undefined, 60_000);
  process.once('SIGTERM', () => process.exit(0));
  if (behaviour === 'deaf') return;
  const server = await ContractServer.start(Number(bind.split(':').at(-1)));
  clearInterval(keepAlive);
  server.addSandbox('python');
  console.log(`listening on ${server.url}`);
}

void main();
