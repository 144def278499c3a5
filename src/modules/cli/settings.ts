import { readFile } from 'node:fs/promises';
import { CliError, ExitCode } from './errors';
import type { OutputOptions } from './output/output';

export const DEFAULT_URL = 'http://127.0.0.1:8889';

/** The flags every command takes, as commander names them. */
export interface GlobalOptions {
  readonly url?: string;
  /** Upstream's name of --url. */
  readonly daemonUrl?: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly color?: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export function outputOptions(options: GlobalOptions, env: Environment): OutputOptions {
  return {
    json: options.json === true,
    quiet: options.quiet === true,
    color: options.color !== false && (env['NO_COLOR'] ?? '') === '',
  };
}

/** The daemon's address: --url, else FORKD_URL, else loopback. */
export function daemonUrl(options: GlobalOptions, env: Environment): URL {
  const flag = options.url ?? options.daemonUrl;
  const text = flag ?? nonEmpty(env['FORKD_URL']) ?? DEFAULT_URL;
  const source = flag === undefined ? 'FORKD_URL' : '--url';
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw badUrl(source, text, error);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw badUrl(source, text);
  if (url.username !== '' || url.password !== '') {
    throw new CliError(
      ExitCode.usage,
      `${source} must not carry a user name or password`,
      'Give the token with --token-file, FORKD_TOKEN_FILE or FORKD_TOKEN.',
    );
  }
  return url;
}

function badUrl(source: string, text: string, cause?: unknown): CliError {
  return new CliError(
    ExitCode.usage,
    `${source} is not an http:// or https:// address: ${text}`,
    `Write it like ${DEFAULT_URL}`,
    { cause },
  );
}

/** The bearer token: --token-file, else FORKD_TOKEN, else the file FORKD_TOKEN_FILE names, else none. */
export async function bearerToken(options: GlobalOptions, env: Environment): Promise<string | undefined> {
  if (options.tokenFile !== undefined) return tokenFrom(options.tokenFile, '--token-file');
  const direct = nonEmpty(env['FORKD_TOKEN']?.trim());
  if (direct !== undefined) return checked(direct, 'FORKD_TOKEN');
  const file = nonEmpty(env['FORKD_TOKEN_FILE']);
  return file === undefined ? undefined : tokenFrom(file, 'FORKD_TOKEN_FILE');
}

/** The file the token comes from; undefined when it comes from elsewhere or there is none. */
export function tokenFileOf(options: GlobalOptions, env: Environment): string | undefined {
  if (options.tokenFile !== undefined) return options.tokenFile;
  return nonEmpty(env['FORKD_TOKEN']?.trim()) === undefined ? nonEmpty(env['FORKD_TOKEN_FILE']) : undefined;
}

async function tokenFrom(path: string, source: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(ExitCode.usage, `${source}: ${reason}`, 'Name a file that this user can read.', {
      cause: error,
    });
  }
  const token = text.trim();
  if (token === '') throw new CliError(ExitCode.usage, `${source}: ${path} is empty`);
  return checked(token, source);
}

function checked(token: string, source: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new CliError(ExitCode.usage, `${source}: a token is one word of printable ASCII characters`);
  }
  return token;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
