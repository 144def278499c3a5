import type { PathParameter } from '../../common/http/route-documentation';

export const WORKSPACE_PARAMS: Readonly<Record<string, PathParameter>> = {
  name: { description: "The workspace's name.", example: 'agent' },
};
