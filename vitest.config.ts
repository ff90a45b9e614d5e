import { defineConfig } from 'vitest/config';

export default defineConfig({
  // `#libs/*.js` maps to the sources under this condition (package.json "imports").
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node'] } },
  test: {
    include: ['apps/**/*.spec.ts', 'libs/**/*.spec.ts', 'test/**/*.spec.ts'],
    // They need a Redis server: npm run test:redis.
    exclude: ['**/node_modules/**', 'test/redis/**'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
});
