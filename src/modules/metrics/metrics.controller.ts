import { Controller, Get, Header } from '@nestjs/common';
import { Documented } from '../../common/http/documented.decorator';
import { text } from '../../common/http/schema';
import { Authenticated } from '../auth/access.decorator';
import { MetricsService } from './metrics.service';

const METRICS_TYPE = 'text/plain; version=0.0.4';

@Controller('metrics')
@Authenticated()
export class MetricsController {
  constructor(private readonly metrics: MetricsService) {}

  @Get()
  @Header('content-type', METRICS_TYPE)
  @Documented({
    id: 'getMetrics',
    summary: 'Metrics for Prometheus',
    success: {
      status: 200,
      description: "Prometheus' text format, version 0.0.4.",
      schema: text('One sample a line, each after its `# HELP` and `# TYPE`.'),
      contentType: METRICS_TYPE,
    },
  })
  index(): Promise<string> {
    return this.metrics.render();
  }
}
