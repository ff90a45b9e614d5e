import { defineConfig } from 'vitest/config';
import base from '../../vitest.config.js';

/** `npm run test:redis`. */
export default defineConfig({
  ...base,
  test: { ...base.test, include: ['test/redis/*.spec.ts'], exclude: [] },
});
