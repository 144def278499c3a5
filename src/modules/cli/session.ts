import type { ApiClient } from './api/client';
import type { HttpTarget } from './api/http';
import { findInstallation, type Installation } from './installation';
import { Output } from './output/output';
import {
  bearerToken,
  daemonUrl,
  outputOptions,
  tokenFileOf,
  type Environment,
  type GlobalOptions,
} from './settings';

/** What one run of a command works with; nothing is opened before it is asked for. */
export class Session {
  readonly output: Output;
  private client: ApiClient | undefined;
  private found: Installation | undefined;

  constructor(
    private readonly options: GlobalOptions,
    private readonly env: Environment = process.env,
  ) {
    this.output = new Output(outputOptions(options, env), process.stdout, process.stderr);
  }

  get url(): URL {
    return daemonUrl(this.options, this.env);
  }

  /** The file that holds the token, where one was named. */
  get tokenFile(): string | undefined {
    return tokenFileOf(this.options, this.env);
  }

  get installation(): Installation {
    this.found ??= findInstallation();
    return this.found;
  }

  /** Where the daemon is, and how to be let in. */
  async target(): Promise<HttpTarget> {
    const token = await bearerToken(this.options, this.env);
    return {
      url: this.url,
      userAgent: `forkd-cli/${this.installation.version}`,
      ...(token === undefined ? {} : { token }),
    };
  }

  async api(): Promise<ApiClient> {
    if (this.client === undefined) {
      const target = await this.target();
      // Loaded late: the HTTP stack costs start-up time that help and `version` need not pay.
      const { ApiClient: Client } = await import('./api/client.js');
      this.client = new Client(target);
    }
    return this.client;
  }

  close(): void {
    this.client?.close();
  }
}
