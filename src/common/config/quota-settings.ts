import { type DaemonSettings, QUOTA_MODES } from './daemon-config';
import { type Given, refusal } from './given';

type QuotaSettings = Pick<
  DaemonSettings,
  'quotas' | 'maxSandboxes' | 'memoryReserveMib' | 'memoryOvercommit'
>;

const MAX_SANDBOXES = 1_000_000;
/** A PiB. */
const MAX_RESERVE_MIB = 2 ** 30;

/** The settings of limits and admission. @throws ConfigError */
export function parseQuotas(given: (flag: string) => Given | undefined): QuotaSettings {
  return {
    quotas: parseMode(given('quotas')),
    maxSandboxes: whole(given('max-sandboxes'), 1, MAX_SANDBOXES),
    memoryReserveMib: whole(given('memory-reserve'), 0, MAX_RESERVE_MIB),
    memoryOvercommit: parseFactor(given('memory-overcommit')),
  };
}

function parseMode(value: Given | undefined): DaemonSettings['quotas'] {
  if (value === undefined) return undefined;
  const mode = QUOTA_MODES.find((choice) => choice === value.text);
  if (mode === undefined) throw refusal(value, 'auto, required, best-effort or off');
  return mode;
}

function whole(value: Given | undefined, least: number, most: number): number | undefined {
  if (value === undefined) return undefined;
  const number = /^\d{1,10}$/.test(value.text) ? Number(value.text) : Number.NaN;
  if (!(number >= least && number <= most)) throw refusal(value, `a whole number from ${least} to ${most}`);
  return number;
}

function parseFactor(value: Given | undefined): number | undefined {
  if (value === undefined) return undefined;
  const factor = /^\d{1,4}(\.\d{1,3})?$/.test(value.text) ? Number(value.text) : Number.NaN;
  if (!(factor >= 0.1 && factor <= 1000)) throw refusal(value, 'a number from 0.1 to 1000, such as 1.5');
  return factor;
}
