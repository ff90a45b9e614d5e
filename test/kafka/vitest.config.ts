import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.js';

/** `npm run test:kafka`. A broker that was killed is back, and groups know it, within a quarter of a minute at best. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: ['test/kafka/*.spec.ts'], exclude: [], testTimeout: 90_000 },
});
