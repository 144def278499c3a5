import { ConfigError } from './config-error';

/** A setting as a person gave it. */
export interface Given {
  /** How the person named it: "--bind" or "FORKD_BIND". */
  readonly source: string;
  readonly text: string;
}

export function refusal(value: Given, allowed: string): ConfigError {
  return new ConfigError(`${value.source} is '${value.text}', but must be ${allowed}`);
}
