import { CliError, ExitCode } from '../errors';
import type { HttpAnswer } from './http';

/** What a status other than 2xx means to the user. */
export function refusal(answer: HttpAnswer): CliError {
  const text = errorText(answer);
  switch (answer.status) {
    case 401:
    case 403:
      return new CliError(
        ExitCode.failed,
        text,
        "Give the daemon's token with --token-file, or in FORKD_TOKEN or FORKD_TOKEN_FILE.",
      );
    case 404:
      return new CliError(
        ExitCode.notFound,
        text,
        // Where the daemon names the next step itself, there is nothing to add.
        text.includes('`forkd ')
          ? undefined
          : 'See what is there with `forkd ls`, `forkd snapshot ls` and `forkd workspace ls`.',
      );
    case 409:
      return new CliError(ExitCode.conflict, text, conflictHint(text));
    case 400:
      // The contract answers some conflicts with 400: a tag that is taken, a workspace in the wrong state.
      return /already exists|, not Running|already Running/.test(text)
        ? new CliError(ExitCode.conflict, text, conflictHint(text))
        : new CliError(ExitCode.failed, text);
    case 503:
      return new CliError(ExitCode.failed, text, 'The daemon is at a limit: try again in a moment.');
    default:
      return new CliError(
        ExitCode.failed,
        text,
        answer.status >= 500 ? "The daemon's log has the details." : undefined,
      );
  }
}

/** The next step after a conflict, in this program's words. */
function conflictHint(text: string): string | undefined {
  if (/^workspace .* already exists/.test(text))
    return 'Take another name, or delete it with `forkd workspace rm`.';
  if (text.includes('already exists')) return 'Take another tag, or delete it with `forkd snapshot rm`.';
  if (text.includes('has dependents'))
    return 'Delete them as well with --cascade, or only this one with --force.';
  if (text.includes(', not Running')) return 'Start it with `forkd workspace resume`.';
  return undefined;
}

function errorText(answer: HttpAnswer): string {
  try {
    const parsed: unknown = JSON.parse(answer.text);
    if (
      typeof parsed === 'object' &&
      parsed !== null &&
      'error' in parsed &&
      typeof parsed.error === 'string'
    ) {
      return parsed.error;
    }
  } catch {
    // Not JSON: a proxy, or another program.
  }
  const plain = answer.text.trim();
  return plain === '' ? `HTTP ${answer.status}` : `HTTP ${answer.status}: ${plain.slice(0, 500)}`;
}
