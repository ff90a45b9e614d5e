import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../apps/standalone/src/free-port.js';
import { CallerStack } from './support/callers.js';
import { say } from './support/chat.js';

/** What needs no Redis. All else of it: npm run test:redis. */
describe('limits of a gateway whose Redis never was there', () => {
  let stack: CallerStack;
  beforeAll(async () => {
    stack = await CallerStack.start();
  });
  afterAll(() => stack.close());

  it.each([
    ['local', [200, 200, 429, 429]],
    ['open', [200, 200, 200, 200]],
    ['closed', [503, 503, 503, 503]],
  ])('hold as CATENA_REDIS_FAILURE=%s says', async (failure, expected) => {
    const gateway = await stack.gateway({
      settings: { CATENA_REDIS_URL: `redis://127.0.0.1:${await freePort()}`, CATENA_REDIS_FAILURE: failure },
    });
    const [limited, free] = [await stack.key(`limited-${failure}`), await stack.key(`free-${failure}`)];
    await stack.limit(`limit-${failure}`, {
      target: { kind: 'apiKey', name: `limited-${failure}` },
      metric: 'requests',
      window: 'hour',
      amount: 2,
    });
    await stack.caughtUp(gateway);
    const send = async (secret: string) => {
      const response = await fetch(`${gateway.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify(say('Hi', { max_tokens: 5 })),
      });
      return { status: response.status, body: JSON.parse(await response.text()) };
    };
    const answers = [await send(limited), await send(limited), await send(limited), await send(limited)];
    expect(answers.map(({ status }) => status)).toEqual(expected);
    if (failure === 'closed') expect(answers[0]!.body.error.code).toBe('limits_unavailable');
    expect((await send(free)).status).toBe(200);
    expect((await gateway.get('/readyz')).body.limits).toEqual({ redis: 'away', whileAway: failure });
  });

  it('are nothing that a gateway without the setting speaks of', async () => {
    const gateway = await stack.gateway();
    expect((await gateway.get('/readyz')).body.limits).toBeUndefined();
    expect((await gateway.get('/metrics')).body).not.toContain('catena_limit_redis');
  });
});
