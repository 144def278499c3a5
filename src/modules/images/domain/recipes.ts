import { createHash } from 'node:crypto';
import { DomainError } from '../../../common/errors/domain-error';

/** Raised when the builder makes other bytes of the same inputs, so that images of earlier releases are built anew. */
export const BUILDER_VERSION = 1;

/** An interpreter the agent keeps warm: a directory of `guest/runtimes`, started as `argv` inside the guest. */
export interface RuntimeRecipe {
  readonly name: string;
  /** Source below the runtimes directory. */
  readonly driver: string;
  /** Where the driver is in the guest. */
  readonly guestPath: string;
  readonly argv: readonly string[];
}

/** What a rootfs made of distribution packages consists of. */
export interface PackagesRecipe {
  readonly name: string;
  readonly description: string;
  /** Packages asked for; what they depend on comes along. */
  readonly packages: readonly string[];
  /** Dependencies that are of no use in the guest and stay out. */
  readonly without: readonly string[];
  /** Paths (with everything below) that are not put into the image. */
  readonly drop: readonly string[];
  /** Symbolic links (path to target) that the packages' maintainer scripts would make. */
  readonly links: Readonly<Record<string, string>>;
  readonly runtimes: readonly RuntimeRecipe[];
  /** Byte-compile the standard library, so that imports neither cost CPU time nor write to guest memory. */
  readonly compilePython: boolean;
  /** Environment of what runs in the guest. */
  readonly env: Readonly<Record<string, string>>;
}

const BASE_PACKAGES = [
  'bash',
  'busybox-static',
  'ca-certificates',
  'coreutils',
  'dash',
  'findutils',
  'grep',
  'sed',
  'tzdata',
];

const PYTHON_RUNTIME: RuntimeRecipe = {
  name: 'python',
  driver: 'python/driver.py',
  guestPath: '/usr/lib/forkd/driver.py',
  argv: ['/usr/bin/python3', '-u', '/usr/lib/forkd/driver.py'],
};

const DOCUMENTATION = [
  '/usr/share/doc',
  '/usr/share/doc-base',
  '/usr/share/info',
  '/usr/share/lintian',
  '/usr/share/locale',
  '/usr/share/man',
  '/usr/share/bug',
  '/usr/share/menu',
  '/usr/share/applications',
  '/usr/share/pixmaps',
];

const PYTHON: PackagesRecipe = {
  name: 'python',
  description: 'Python 3 with its standard library, a shell and the usual commands',
  packages: [...BASE_PACKAGES, 'python3'],
  without: ['debconf', 'debianutils', 'dpkg', 'openssl', 'perl-base', 'readline-common'],
  drop: [
    ...DOCUMENTATION,
    '/usr/lib/python3.11/test',
    '/usr/share/zoneinfo/right',
    '/usr/share/zoneinfo/posix',
  ],
  // Where OpenSSL looks for the bundle.
  links: { '/usr/lib/ssl/cert.pem': '/etc/ssl/certs/ca-certificates.crt' },
  runtimes: [PYTHON_RUNTIME],
  compilePython: true,
  env: {},
};

export const RECIPES: readonly PackagesRecipe[] = [
  PYTHON,
  {
    ...PYTHON,
    name: 'numpy',
    description: 'The python image with NumPy',
    packages: [...PYTHON.packages, 'python3-numpy'],
    links: {
      ...PYTHON.links,
      '/usr/lib/x86_64-linux-gnu/libblas.so.3': 'blas/libblas.so.3',
      '/usr/lib/x86_64-linux-gnu/liblapack.so.3': 'lapack/liblapack.so.3',
    },
  },
];

/** @throws DomainError invalid when there is no image of that name. */
export function recipeOf(name: string): PackagesRecipe {
  const recipe = RECIPES.find((candidate) => candidate.name === name);
  if (recipe === undefined) {
    const names = RECIPES.map((candidate) => candidate.name).join(', ');
    throw new DomainError(
      'invalid',
      `there is no image definition named ${JSON.stringify(name)}; there are: ${names}`,
    );
  }
  return recipe;
}

/** sha256 over a value with the keys of its objects in order; equal for equal content however it was written down. */
export function digestOf(value: unknown): string {
  return createHash('sha256').update(canonical(value)).digest('hex');
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
