import type { RouteDocumentation } from '../../common/http/route-documentation';
import { constant, record, text } from '../../common/http/schema';
import { VERSION } from '../../common/version';

export interface VersionAnswer {
  readonly version: string;
  readonly api: 'v1';
}

export const VERSION_RESPONSE = record<VersionAnswer>(
  'VersionResponse',
  'Which daemon this is.',
  { version: text('Of the daemon.'), api: constant('v1', 'Of the API.') },
  { version: VERSION, api: 'v1' },
);

export const HEALTH_DOCUMENTATION: RouteDocumentation = {
  id: 'getHealth',
  summary: 'Says that the daemon answers; open to probes without a token',
  success: {
    status: 200,
    description: 'It does.',
    schema: record<{ ok: true }>(
      'Health',
      'The daemon answers.',
      { ok: constant(true, 'Nothing else is ever said.') },
      { ok: true },
    ),
  },
};
