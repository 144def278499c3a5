/** The part of JSON Schema 2020-12 that this API's document uses. */
export interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly pattern?: string;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
}

/** A schema that the document holds once, under its name. */
export interface NamedSchema {
  readonly name: string;
  readonly json: JsonSchema;
}

/** A schema of values of type T; the compiler holds it against that type. */
export interface Schema<T> {
  /** What to write where the schema is used; a reference for a named one. */
  readonly json: JsonSchema;
  /** The named schemas it refers to. */
  readonly named: readonly NamedSchema[];
  /** A value that fits; always there for a {@link record} and an array of them. */
  readonly example?: T;
}

/** A schema of a member that may be absent. */
export interface OptionalSchema<T> {
  readonly optional: Schema<T>;
}

/** One schema for each member of T, optional where the member is. */
export type MemberSchemas<T> = {
  readonly [K in keyof T]-?: Partial<Pick<T, K>> extends Pick<T, K>
    ? OptionalSchema<Exclude<T[K], undefined>>
    : Schema<T[K]>;
};

export function text(description: string, more: JsonSchema = {}): Schema<string> {
  return unnamed({ type: 'string', description, ...more });
}

export function integer(description: string, more: JsonSchema = {}): Schema<number> {
  return unnamed({ type: 'integer', description, ...more });
}

/** A body of bytes. */
export function binary(description: string): Schema<Buffer> {
  return unnamed({ description });
}

/** An integer that is never negative. */
export function count(description: string): Schema<number> {
  return integer(description, { minimum: 0 });
}

/** A number that is never negative, fractions included. */
export function decimal(description: string): Schema<number> {
  return unnamed({ type: 'number', minimum: 0, description });
}

export function truth(description: string): Schema<boolean> {
  return unnamed({ type: 'boolean', description });
}

/** Always the same value. */
export function constant<const T extends string | boolean>(value: T, description: string): Schema<T> {
  return unnamed({ const: value, description });
}

/** One of the given words. */
export function oneOf<const T extends string>(words: readonly T[], description: string): Schema<T> {
  return unnamed({ type: 'string', enum: words, description });
}

export function nullable<T>({ json, named }: Schema<T>): Schema<T | null> {
  const { type } = json;
  if (typeof type !== 'string') throw new Error('only a schema of a single type can be made nullable');
  return { json: { ...json, type: [type, 'null'] }, named };
}

export function optional<T>(schema: Schema<T>): OptionalSchema<T> {
  return { optional: schema };
}

export function arrayOf<T>(item: Schema<T>, description?: string): Schema<T[]> {
  return {
    json: { type: 'array', items: item.json, ...(description === undefined ? {} : { description }) },
    named: item.named,
    ...(item.example === undefined ? {} : { example: [item.example] }),
  };
}

/** A named object with exactly the members of T; the compiler refuses one that is missing or unknown. */
export function record<T extends object>(
  name: string,
  description: string,
  members: MemberSchemas<T>,
  example: T,
): Schema<T> {
  const entries = Object.entries<Schema<unknown> | OptionalSchema<unknown>>(members);
  const schemas = entries.map(([member, schema]) => ({
    member,
    required: !('optional' in schema),
    schema: 'optional' in schema ? schema.optional : schema,
  }));
  const json: JsonSchema = {
    type: 'object',
    description,
    properties: Object.fromEntries(schemas.map(({ member, schema }) => [member, schema.json])),
    required: schemas.filter(({ required }) => required).map(({ member }) => member),
    additionalProperties: false,
  };
  return {
    json: { $ref: referenceTo(name) },
    named: [...schemas.flatMap(({ schema }) => schema.named), { name, json }],
    example,
  };
}

/** An object whose members are not this API's to say. */
export function freeObject(
  description: string,
  example?: Record<string, unknown>,
): Schema<Record<string, unknown>> {
  return {
    json: { type: 'object', description },
    named: [],
    ...(example === undefined ? {} : { example }),
  };
}

/** Where the document holds a named schema. */
export function referenceTo(name: string): string {
  return `#/components/schemas/${name}`;
}

function unnamed<T>(json: JsonSchema): Schema<T> {
  return { json, named: [] };
}
