/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'domain-is-pure',
      comment: 'Domain code knows nothing of Nest, Fastify, HTTP or the operating system.',
      severity: 'error',
      from: { path: '^src/modules/[^/]+/domain/' },
      to: {
        pathNot: [
          '^src/modules/[^/]+/domain/',
          '^src/common/(errors|net)/',
          '^(buffer|crypto|path|util)$',
          '^node:(buffer|crypto|path|util)$',
        ],
      },
    },
    {
      name: 'ports-know-no-adapter',
      severity: 'error',
      from: { path: '^src/modules/[^/]+/ports/' },
      to: { path: '^src/modules/[^/]+/adapters/' },
    },
    {
      name: 'no-foreign-adapter',
      comment: 'A module reaches another through its service, port or domain, never through its adapters.',
      severity: 'error',
      from: { path: '^src/modules/([^/]+)/' },
      to: { path: '^src/modules/[^/]+/adapters/', pathNot: '^src/modules/$1/adapters/' },
    },
    {
      name: 'common-knows-no-module',
      severity: 'error',
      from: { path: '^src/common/' },
      to: { path: '^src/modules/' },
    },
    {
      name: 'cli-imports-nothing-of-the-daemon',
      severity: 'error',
      from: { path: ['^src/cli\\.ts$', '^src/modules/cli/'] },
      to: {
        path: [
          '^src/modules/(?!cli/)',
          '^src/app\\.',
          '^src/main\\.ts$',
          '^src/common/http/',
          '@nestjs/platform-fastify',
        ],
      },
    },
    {
      name: 'only-the-root-lists-modules',
      severity: 'error',
      from: { path: '^src/modules/' },
      to: { path: '^src/app\\.' },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, pathNot: ['\\.d\\.ts$', '^src/(main|cli)\\.ts$', 'worker\\.ts$'] },
      to: {},
    },
    {
      name: 'not-to-dev-dep',
      severity: 'error',
      from: { path: '^src' },
      to: { dependencyTypes: ['npm-dev'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default'],
    },
  },
};
