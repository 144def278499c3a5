import { Controller, Get } from '@nestjs/common';
import { VERSION } from '../../common/version';
import { Authenticated, Public } from '../auth/access.decorator';

@Controller()
@Authenticated()
export class HealthController {
  /** Says that the daemon answers; open to probes without a token. */
  @Get('healthz')
  @Public()
  health(): { ok: true } {
    return { ok: true };
  }

  @Get('version')
  version(): { version: string; api: 'v1' } {
    return { version: VERSION, api: 'v1' };
  }
}
