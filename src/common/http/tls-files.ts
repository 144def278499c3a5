import { Logger } from '@nestjs/common';
import type { Server } from 'node:tls';
import { errorMessage } from '../errors/domain-error';
import { FileWatcher } from '../os/file-watcher';
import { readTlsPair, type TlsPair } from './tls-pair';

/** The files of the server's certificate and key: read at start, followed while a server listens. */
export class TlsFiles {
  private readonly logger = new Logger('Tls');
  private server: Server | undefined;
  private watcher: FileWatcher | undefined;
  private loading: Promise<void> = Promise.resolve();
  /** What was complained about last, so that it is said once. */
  private complaint: string | undefined;

  private constructor(
    private readonly certPath: string,
    private readonly keyPath: string,
    private pair: TlsPair,
  ) {}

  /** @throws DomainError naming the file and what is wrong with it. */
  static async load(certPath: string, keyPath: string): Promise<TlsFiles> {
    const files = new TlsFiles(certPath, keyPath, await readTlsPair(certPath, keyPath));
    files.complain(files.expiry());
    return files;
  }

  /** What a server is to be created with. */
  get options(): TlsPair['options'] {
    return this.pair.options;
  }

  /** The end of the validity of the certificate in use. */
  get validTo(): Date {
    return this.pair.validTo;
  }

  /** Gives the server every new pair for its new connections, as long as it listens. */
  follow(server: Server): void {
    this.server = server;
    server.once('listening', () => {
      this.watcher = new FileWatcher([this.certPath, this.keyPath], {
        changed: () => void this.reload(),
        failed: (error) => {
          const text = errorMessage(error);
          this.logger.warn(`certificate and key cannot be watched, send SIGHUP after a change: ${text}`);
        },
      });
    });
    server.once('close', () => {
      this.watcher?.close();
    });
  }

  /** Reads the files anew. A pair that cannot be used leaves the old one in use and is said in the log; it never rejects. */
  reload(): Promise<void> {
    this.loading = this.loading.then(async () => {
      try {
        const next = await readTlsPair(this.certPath, this.keyPath);
        if (next.fingerprint !== this.pair.fingerprint) {
          this.server?.setSecureContext(next.options);
          this.pair = next;
          this.logger.log(
            `the certificate of ${this.certPath} is in use now, valid to ${isoDay(next.validTo)}`,
          );
        }
        this.complain(this.expiry());
      } catch (error) {
        this.complain(`${errorMessage(error)}. The certificate that was read before stays in use`);
      }
    });
    return this.loading;
  }

  private expiry(): string | undefined {
    const { validTo } = this.pair;
    if (validTo.getTime() > Date.now()) return undefined;
    return `the certificate of ${this.certPath} was valid to ${isoDay(validTo)}: clients will refuse it`;
  }

  private complain(text: string | undefined): void {
    if (text !== undefined && text !== this.complaint) this.logger.warn(text);
    this.complaint = text;
  }
}

function isoDay(date: Date): string {
  return date.toISOString().slice(0, 10);
}
