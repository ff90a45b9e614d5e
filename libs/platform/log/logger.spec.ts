import { QueryFailedError } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { serializeError } from './logger.js';

describe('a logged error', () => {
  it('keeps message, code and stack of a failed statement, and nothing of what was stored', () => {
    const driver = Object.assign(new Error('duplicate key value violates unique constraint "x"'), {
      code: '23505',
      detail: 'Key (name)=(my secret prompt) already exists.',
      where: 'COPY inference, line 1: "my secret prompt"',
    });
    const logged = serializeError(
      new QueryFailedError('INSERT INTO t VALUES ($1)', ['my secret prompt'], driver),
    );
    expect(logged).toMatchObject({ type: 'QueryFailedError', message: driver.message, code: '23505' });
    expect(JSON.stringify(logged)).not.toContain('secret');
    expect(serializeError(driver)).toMatchObject({ code: '23505' });
    expect(JSON.stringify(serializeError(driver))).not.toContain('secret');
  });
});
