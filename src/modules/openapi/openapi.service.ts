import { Injectable } from '@nestjs/common';
import { RouteTable } from '../../common/http/route-table';
import { buildDocument } from './document';

/** The API's document, made from the routes that are registered. */
@Injectable()
export class OpenApiService {
  private prepared: string | undefined;

  constructor(private readonly routes: RouteTable) {}

  /** JSON text. Made when somebody asks first, so that the start of the daemon does not pay for it. */
  document(): string {
    this.prepared ??= `${JSON.stringify(buildDocument(this.routes.all()), null, 2)}\n`;
    return this.prepared;
  }
}
