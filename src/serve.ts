import { Logger } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { createApp, reloadFiles } from './app.factory';
import type { DaemonConfig } from './common/config/daemon-config';
import { DomainError, errnoOf, errorMessage } from './common/errors/domain-error';
import { Drain } from './common/lifecycle/drain';
import { SingleInstance } from './common/lifecycle/single-instance';
import { type ServiceEnvironment, SystemdNotifier } from './common/os/systemd-notify';
import { VERSION } from './common/version';
import { QuotasService } from './modules/quotas/quotas.service';

/** How long requests in flight may take after a stop signal. */
const DRAIN_MS = 30_000;

/**
 * Runs the daemon until SIGTERM or SIGINT; then stops accepting, lets requests end and returns. SIGHUP opens the audit log
 * anew and reads token and certificate again.
 *
 * @param service what the service manager said in the environment; it is told how the daemon is.
 * @throws errors of the start, whose message says what to change.
 */
export async function serve(config: DaemonConfig, service: ServiceEnvironment = {}): Promise<void> {
  // First of all: what another daemon uses must not be touched, not even by reading what it is about to write.
  const instance = await SingleInstance.claim(config);
  const logger = new Logger('Daemon');
  const notifier = SystemdNotifier.fromEnvironment(service, (text) => {
    logger.warn(text);
  });
  try {
    await run(config, logger, notifier);
  } finally {
    await notifier.close();
    await instance.release();
  }
}

async function run(config: DaemonConfig, logger: Logger, notifier: SystemdNotifier): Promise<void> {
  let app: NestFastifyApplication | undefined;
  // Whoever reads that the daemon listens may send a signal at once, so they are heard before it says so.
  const reload = (): void => {
    const target = app;
    if (!target) return;
    void notifier
      .reload(() => reloadFiles(target))
      .then(() => {
        logger.log('SIGHUP received, audit log opened anew, token and certificate read again');
      });
  };
  process.on('SIGHUP', reload);
  const stop = stopSignal();
  try {
    app = await createApp(config);
    try {
      logger.log(`forkd-controller ${VERSION} listening on ${await listen(app, config)}`);
      notifier.ready();
      app.get(QuotasService, { strict: false }).tellWhatIsMissing();
      logger.log(`${await stop} received, finishing requests (at most ${DRAIN_MS / 1000} s)`);
      notifier.stopping();
    } finally {
      await drain(app);
    }
  } finally {
    process.off('SIGHUP', reload);
  }
  logger.log('stopped');
}

/** Binds and returns the URL; the port is the real one where the kernel chose it. */
async function listen(app: NestFastifyApplication, config: DaemonConfig): Promise<string> {
  const { bindHost: host, bindPort: port } = config;
  const instance: FastifyInstance = app.getHttpAdapter().getInstance();
  try {
    return await instance.listen({ host, port });
  } catch (error) {
    const code = errnoOf(error);
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const reason =
      code === 'EADDRINUSE'
        ? 'another process listens there; stop it or choose another --bind'
        : code === 'EACCES'
          ? 'ports below 1024 need root or CAP_NET_BIND_SERVICE'
          : code === 'EADDRNOTAVAIL'
            ? 'this host has no such address'
            : errorMessage(error);
    throw new DomainError('invalid', `cannot listen on ${address}: ${reason}`, { cause: error });
  }
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    // Left in place: without any listener a second signal would end the process at once.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, resolve);
  });
}

/** Closes the application; what is still under way after the deadline, or at a second signal, is cut. */
async function drain(app: NestFastifyApplication): Promise<void> {
  const server = app.getHttpServer();
  const cut = (): void => {
    app.get(Drain).expire();
    server.closeAllConnections();
  };
  const deadline = setTimeout(cut, DRAIN_MS);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, cut);
  try {
    await app.close();
  } finally {
    clearTimeout(deadline);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.off(signal, cut);
  }
}
