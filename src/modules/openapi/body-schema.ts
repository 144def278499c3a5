import { type MemberSpec, membersOf } from '../../common/http/dto-members';
import { type JsonSchema, type NamedSchema } from '../../common/http/schema';

/** The schema of a DTO class, as its member decorators declare it. Unknown members are allowed: they are ignored. */
export function bodySchema(type: new () => object): NamedSchema {
  const members = membersOf(type);
  const required = members.filter(isRequired).map(({ name }) => name);
  return {
    name: `${type.name.replace(/Dto$/, '')}Request`,
    json: {
      type: 'object',
      properties: Object.fromEntries(members.map((member) => [member.name, memberSchema(member)])),
      ...(required.length === 0 ? {} : { required }),
    },
  };
}

function memberSchema({ options, schema }: MemberSpec): JsonSchema {
  const { nullable, description } = options;
  const { type } = schema;
  const fallback = options.default ?? (nullable === true ? null : undefined);
  return {
    ...schema,
    ...(nullable === true && typeof type === 'string' ? { type: [type, 'null'] } : {}),
    ...(nullable === true && schema.enum !== undefined ? { enum: [...schema.enum, null] } : {}),
    ...(fallback === undefined ? {} : { default: fallback }),
    ...(description === undefined ? {} : { description }),
  };
}

function isRequired({ options }: MemberSpec): boolean {
  return options.default === undefined && options.nullable !== true && options.optional !== true;
}
