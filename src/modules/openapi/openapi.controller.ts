import { Controller, Get, Header } from '@nestjs/common';
import { Documented } from '../../common/http/documented.decorator';
import { freeObject } from '../../common/http/schema';
import { Authenticated } from '../auth/access.decorator';
import { OpenApiService } from './openapi.service';

@Controller('openapi.json')
@Authenticated()
export class OpenApiController {
  constructor(private readonly openapi: OpenApiService) {}

  @Get()
  @Header('content-type', 'application/json')
  @Documented({
    id: 'getOpenApi',
    summary: 'This document',
    success: {
      status: 200,
      description: 'An OpenAPI 3.1 document.',
      schema: freeObject('OpenAPI 3.1'),
    },
  })
  document(): string {
    return this.openapi.document();
  }
}
