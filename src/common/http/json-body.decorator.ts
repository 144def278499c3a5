import { createParamDecorator, type ExecutionContext, Injectable, type PipeTransform } from '@nestjs/common';
import type { ArgumentMetadata } from '@nestjs/common';
import { validateSync } from 'class-validator';
import type { FastifyRequest } from 'fastify';
import { membersOf, type MemberSpec } from './dto-members';
import { HttpError } from './http-error';
import { checkContentType, emptyBodyError, JsonDocument } from './json-body-parser';
import type { MemberFacts } from './json-scan';
import { mergeRouteConfig } from './route-config';

const UNSIGNED_INTEGER = /^(?:0|[1-9]\d{0,19})$/;
const U64_MAX = 2n ** 64n - 1n;

/** Makes an instance of the parameter's DTO class out of a JSON body: known members only, defaults filled in. */
@Injectable()
export class JsonShapePipe implements PipeTransform<unknown, object> {
  /** @throws HttpError 422 naming every member of the wrong shape. */
  transform(document: unknown, { metatype }: ArgumentMetadata): object {
    if (metatype === undefined || !(document instanceof JsonDocument)) {
      throw new Error('JsonShapePipe works only on a @JsonBody() parameter whose type is a DTO class');
    }
    return shapeOf(document, metatype);
  }
}

const body = createParamDecorator((_: unknown, context: ExecutionContext): JsonDocument => {
  const request = context.switchToHttp().getRequest<FastifyRequest>();
  if (request.body instanceof JsonDocument) return request.body;
  // Without a content type and a body Fastify calls no parser.
  checkContentType(request.headers['content-type']);
  throw emptyBodyError();
});

/**
 * The JSON body as the DTO class that is the parameter's type. It declares that the route reads a body: 415 without JSON
 * content type, 400 for an empty or malformed body, 413 past the limit, 422 for a wrong shape.
 */
export function JsonBody(): ParameterDecorator {
  return (prototype, method, index) => {
    if (method === undefined) throw new Error('@JsonBody() belongs to a method parameter');
    const types: unknown = Reflect.getMetadata('design:paramtypes', prototype, method);
    const type: unknown = Array.isArray(types) ? types[index] : undefined;
    // A type-only import leaves Object here, and nothing would be checked.
    if (!isClass(type)) {
      throw new Error(
        `the @JsonBody() of ${String(method)} needs a DTO class as its type, imported as a value`,
      );
    }
    mergeRouteConfig(prototype, method, { jsonBody: type });
    body(JsonShapePipe)(prototype, method, index);
  };
}

function isClass(type: unknown): type is new () => object {
  return typeof type === 'function' && type !== Object;
}

function shapeOf(document: JsonDocument, type: new () => object): object {
  const { value } = document;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpError(422, 'the request body must be a JSON object');
  }
  const given = new Map<string, unknown>(Object.entries(value));
  const dto = new type();
  const problems: string[] = [];
  for (const spec of membersOf(type)) {
    const problem = problemOf(spec, document.members.get(spec.name), given);
    if (problem !== undefined) problems.push(problem);
    Object.assign(dto, { [spec.name]: given.has(spec.name) ? given.get(spec.name) : absent(spec) });
  }
  if (problems.length === 0) problems.push(...validationProblems(dto));
  if (problems.length > 0) throw new HttpError(422, `the request body does not fit: ${problems.join('; ')}`);
  return dto;
}

function absent({ options }: MemberSpec): unknown {
  if (options.default !== undefined) return options.default;
  return options.nullable === true ? null : undefined;
}

/** What only the JSON text tells, and what has its own words. */
function problemOf(
  spec: MemberSpec,
  facts: MemberFacts | undefined,
  given: ReadonlyMap<string, unknown>,
): string | undefined {
  if (facts === undefined) {
    const { options } = spec;
    const required = options.default === undefined && options.nullable !== true && options.optional !== true;
    return required ? `\`${spec.name}\` is missing, it must be ${spec.expected}` : undefined;
  }
  if (facts.count > 1) return `\`${spec.name}\` is given twice`;
  const badlyWritten =
    spec.unsigned && typeof given.get(spec.name) === 'number' && !isU64Lexeme(facts.lexeme ?? '');
  return badlyWritten ? `\`${spec.name}\` must be ${spec.expected}` : undefined;
}

function isU64Lexeme(lexeme: string): boolean {
  return UNSIGNED_INTEGER.test(lexeme) && BigInt(lexeme) <= U64_MAX;
}

function validationProblems(dto: object): string[] {
  const errors = validateSync(dto, { forbidUnknownValues: false });
  return errors.flatMap((error) => Object.values(error.constraints ?? {}));
}
