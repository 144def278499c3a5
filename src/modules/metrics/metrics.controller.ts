import { Controller, Get, Header } from '@nestjs/common';
import { Authenticated } from '../auth/access.decorator';
import { MetricsService } from './metrics.service';

@Controller('metrics')
@Authenticated()
export class MetricsController {
  constructor(private readonly metrics: MetricsService) {}

  @Get()
  @Header('content-type', 'text/plain; version=0.0.4')
  index(): Promise<string> {
    return this.metrics.render();
  }
}
