import { Ajv2020 } from 'ajv/dist/2020.js';
import type { ErrorObject, ValidateFunction } from 'ajv';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The committed document, from the folder the tests are started in. */
export const DOCUMENT_PATH = join(process.cwd(), 'docs', 'openapi.json');

export interface MemberSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly default?: unknown;
}

export interface BodySchema {
  readonly properties: Readonly<Record<string, MemberSchema>>;
  readonly required?: readonly string[];
}

interface Content {
  readonly schema: object;
  readonly example?: unknown;
}

interface RawOperation {
  readonly operationId: string;
  readonly security: readonly object[];
  readonly parameters?: readonly {
    readonly in: string;
    readonly name: string;
    readonly example?: string;
    readonly schema: { readonly pattern?: string };
  }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, Content>> }>>;
}

export interface Operation extends RawOperation {
  readonly method: string;
  /** Template, e.g. "/v1/sandboxes/{id}". */
  readonly path: string;
}

/** What an answer must have to be held against the document. */
export interface AnswerFacts {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, RawOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, BodySchema>> };
}

/** The API's document as a test reads it: which operation an answer belongs to, and whether it is as documented. */
export class ApiDocument {
  readonly operations: readonly Operation[];
  /** `METHOD path status` of every answer that was checked. */
  readonly seen = new Set<string>();
  private readonly ajv = new Ajv2020({ allowUnionTypes: true });
  private readonly validators = new Map<string, ValidateFunction>();

  constructor(readonly document: Document) {
    this.ajv.addSchema({ $id: 'api', $defs: standalone(document.components.schemas) });
    this.operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({
        ...operation,
        method: method.toUpperCase(),
        path,
      })),
    );
  }

  static async load(): Promise<ApiDocument> {
    return new ApiDocument(JSON.parse(await readFile(DOCUMENT_PATH, 'utf8')) as Document);
  }

  /** `METHOD path status` of everything the document promises. */
  documented(): string[] {
    return this.operations.flatMap(({ method, path, responses }) =>
      Object.keys(responses).map((status) => `${method} ${path} ${status}`),
    );
  }

  /** The schema of a route's request body. */
  bodyOf(operation: Operation): { schema: BodySchema; example: Record<string, unknown> } | undefined {
    const content = operation.requestBody?.content['application/json'];
    if (content === undefined) return undefined;
    const reference = '$ref' in content.schema ? String(content.schema.$ref) : '';
    const schema = this.document.components.schemas[reference.split('/').at(-1) ?? ''];
    if (schema === undefined) throw new Error(`${operation.operationId} has no body schema: ${reference}`);
    return { schema, example: { ...(content.example as object) } };
  }

  /** The path with its parameters filled in: given ones, else the document's examples. */
  pathOf(operation: Operation, values: Readonly<Record<string, string>> = {}): string {
    return operation.path.replace(/\{(\w+)\}/g, (_, name: string) => {
      const known = operation.parameters?.find((parameter) => parameter.name === name);
      return values[name] ?? encodeURIComponent(known?.example ?? '');
    });
  }

  /** Problems of a value against a schema of the document; empty when it fits. */
  problems(schema: object, value: unknown): string[] {
    const key = JSON.stringify(schema);
    const validate = this.validators.get(key) ?? this.ajv.compile(standalone(schema));
    this.validators.set(key, validate);
    return validate(value) ? [] : (validate.errors ?? []).map(describe);
  }

  /**
   * Holds an answer against the document.
   *
   * @throws Error when its status, content type or body is not documented.
   */
  check(method: string, path: string, answer: AnswerFacts): void {
    const operation = this.operationAt(method, path);
    const title = `${method} ${path} answered ${answer.status} ${answer.text.slice(0, 300)}`;
    if (operation === undefined) throw new Error(`${title}, but the document has no such operation`);
    const response = operation.responses[answer.status];
    if (response === undefined) throw new Error(`${title}, which is not documented`);
    this.seen.add(`${method} ${operation.path} ${answer.status}`);
    if (response.content === undefined) {
      if (answer.text !== '') throw new Error(`${title}, where the document promises an empty body`);
      return;
    }
    const type = String(answer.headers['content-type']);
    const content = response.content[type];
    if (content === undefined) throw new Error(`${title} as ${type}, which is not documented`);
    const value: unknown = type === 'application/json' ? JSON.parse(answer.text) : answer.text;
    const problems = this.problems(content.schema, value);
    if (problems.length > 0) throw new Error(`${title}, which does not fit: ${problems.join('; ')}`);
  }

  private operationAt(method: string, path: string): Operation | undefined {
    const segments = (path.split('?', 1)[0] ?? '').split('/');
    return this.operations.find(({ method: known, path: template }) => {
      const parts = template.split('/');
      return (
        known === method &&
        parts.length === segments.length &&
        parts.every((part, index) => part.startsWith('{') || part === segments[index])
      );
    });
  }
}

/** The schema with its references leading to where the validator has the document's named schemas. */
function standalone(schema: object): object {
  const text = JSON.stringify(schema).replaceAll('"#/components/schemas/', '"api#/$defs/');
  return JSON.parse(text) as object;
}

function describe({ instancePath, message, params }: ErrorObject): string {
  return `${instancePath} ${message ?? ''} ${JSON.stringify(params)}`;
}
