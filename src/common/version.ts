/** Version of the product, as `/version`, `--version` and the build metric say it. */
export const VERSION = '0.5.3';
