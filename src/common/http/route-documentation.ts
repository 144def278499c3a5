import type { Schema } from './schema';

/** A successful answer. */
export interface DocumentedAnswer {
  readonly status: number;
  /** When it comes, and what it means. */
  readonly description: string;
  /** Absent for an empty body. */
  readonly schema?: Schema<unknown>;
  /** The body's content type; JSON by default. */
  readonly contentType?: string;
}

export interface PathParameter {
  readonly description: string;
  readonly example: string;
  /** Regular expression; other values are refused with 400. */
  readonly pattern?: string;
}

/** What the API's document says about a route, beyond what its other decorators say already. */
export interface RouteDocumentation {
  /** Unique, in camel case; the name of the call in generated clients. */
  readonly id: string;
  /** One line. */
  readonly summary: string;
  readonly description?: string;
  readonly success: DocumentedAnswer | readonly DocumentedAnswer[];
  /**
   * Status to reason, for the refusals that are this route's own. Those of its kind (no token, a body that does not fit)
   * are added by the generator.
   */
  readonly errors?: Readonly<Record<number, string>>;
  /** A request body that works, for routes that read one. */
  readonly example?: object;
  /** The parameters in the path, by name. */
  readonly params?: Readonly<Record<string, PathParameter>>;
}

/** A flag in the query, `true` or `false`. */
export interface QueryFlag {
  readonly name: string;
  readonly description: string;
}

/** A text in the query. */
export interface QueryWord extends QueryFlag {
  /** Regular expression; other values are refused with 400. */
  readonly pattern: string;
}

/** A body that is no JSON. */
export interface StreamedContent {
  readonly contentType: string;
  readonly description: string;
}
