import { Controller, Get } from '@nestjs/common';
import { Documented } from '../../common/http/documented.decorator';
import { VERSION } from '../../common/version';
import { Authenticated, Public } from '../auth/access.decorator';
import { HEALTH_DOCUMENTATION, VERSION_RESPONSE, type VersionAnswer } from './wire-schemas';

@Controller()
@Authenticated()
export class HealthController {
  /** Says that the daemon answers; open to probes without a token. */
  @Get('healthz')
  @Public()
  @Documented(HEALTH_DOCUMENTATION)
  health(): { ok: true } {
    return { ok: true };
  }

  @Get('version')
  @Documented({
    id: 'getVersion',
    summary: 'Version of the daemon and of its API',
    success: { status: 200, description: 'Both versions.', schema: VERSION_RESPONSE },
  })
  version(): VersionAnswer {
    return { version: VERSION, api: 'v1' };
  }
}
