import { type DynamicModule, Global, Module } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { ErrorFilter } from './error.filter';
import { RequestPipeline } from './request-pipeline';
import { RouteTable } from './route-table';

/** Offers the request pipeline and the route table, and answers errors in this API's way. */
@Global()
@Module({})
export class HttpModule {
  static forRoot(pipeline: RequestPipeline, table: RouteTable): DynamicModule {
    return {
      module: HttpModule,
      providers: [
        { provide: RequestPipeline, useValue: pipeline },
        { provide: RouteTable, useValue: table },
        { provide: APP_FILTER, useClass: ErrorFilter },
      ],
      exports: [RequestPipeline, RouteTable],
    };
  }
}
