/** Rules for the page and its tests, beyond what tsc and prettier check. */
import compat from 'eslint-plugin-compat';

/** What docs/browsers.md promises (`browserslist` in package.json), but for what is asked for before it is used. */
const promise = {
  ...compat.configs['flat/recommended'],
  files: ['web/**/*.js'],
  settings: { polyfills: ['trustedTypes', 'ClipboardItem', 'navigator.connection'] },
};

export default [
  { ignores: ['dist/', 'pkg/', 'target/', 'web/public/', 'tests/golden/'] },
  promise,
  {
    files: ['**/*.js', '**/*.mjs'],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'no-unused-vars': ['error', { ignoreRestSiblings: true, caughtErrors: 'none' }],
      'no-self-assign': 'error',
      'no-unreachable': 'error',
      'no-dupe-keys': 'error',
      'no-fallthrough': 'error',
      'array-callback-return': 'error',
      'no-constant-condition': ['error', { checkLoops: false }],
    },
  },
  {
    files: ['web/**/*.js'],
    ignores: ['web/words/*.js'],
    rules: {
      'max-len': ['error', { code: 120, ignoreUrls: true }],
      'max-lines-per-function': ['error', { max: 60 }],
    },
  },
];
