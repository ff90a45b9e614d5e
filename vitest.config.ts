import { defineConfig } from 'vitest/config';

export default defineConfig({
  // `#libs/*.js` maps to the sources under this condition (package.json "imports").
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node'] } },
  test: {
    include: ['apps/**/*.spec.ts', 'libs/**/*.spec.ts', 'test/**/*.spec.ts'],
    // They need a Redis server and Kafka: npm run test:redis, npm run test:kafka.
    exclude: ['**/node_modules/**', 'test/redis/**', 'test/kafka/**'],
    globalSetup: ['test/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    reporters: ['default'],
  },
});
