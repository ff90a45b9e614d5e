import { describe, expect, it } from 'vitest';
import { linkedEvent, parseLink, readLink, writeLink, type FeedbackLink } from './feedback-link.js';
import { readFeedback } from './read-feedback.js';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const ABOUT = { unit: 'u', name: 'n' };
const DEFAULTS = { nowMs: NOW, eventId: () => 'e' };

const read = (fields: object) => readFeedback({ ...ABOUT, ...fields }, DEFAULTS);
const paths = (fields: object) => read(fields).problems?.map(({ path }) => path);
const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));

describe('reading feedback', () => {
  it('takes corrections that nest, and refuses those that nest too deeply', () => {
    expect(read({ kind: 'correction', value: nested(500) }).problems).toBeUndefined();
    const link = parseLink(writeLink(readLink({ ...ABOUT, kind: 'correction' }, 'w', NOW) as FeedbackLink));
    for (const levels of [600, 5_000, 400_000]) {
      const value = nested(levels);
      expect(paths({ kind: 'correction', value })).toEqual(['/value']);
      expect(paths({ kind: 'text', value })).toEqual(['/value']);
      expect(paths({ value: true, metadata: { value } })).toEqual(['/metadata']);
      expect(linkedEvent(link, 'd', { value }, NOW)).toMatchObject({ problems: [{ path: '/value' }] });
    }
  });

  it('tells of twenty problems at most, soon, however many unknown fields there are', () => {
    const flood = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, 0]));
    const body = { ...ABOUT, kind: 'boolean', ...flood };
    for (const read of [
      () => readFeedback(body, DEFAULTS),
      () => readFeedback({ events: [body] }, DEFAULTS),
      () => readLink(body, 'w', NOW),
    ]) {
      const since = performance.now();
      expect(read()).toMatchObject({ problems: { length: 20 } });
      expect(performance.now() - since).toBeLessThan(200);
    }
  });

  it('refuses numbers beyond a double, which would be kept as null', () => {
    const json = (text: string) => JSON.parse(text) as object;
    expect(paths(json('{"value": true, "metadata": {"score": 1e999}}'))).toEqual(['/metadata']);
    expect(paths(json('{"value": 1e999}'))).toEqual(['/value']);
    expect(paths(json('{"kind": "correction", "value": {"lines": [{"total": -1e999}]}}'))).toEqual([
      '/value',
    ]);
    expect(paths(json('{"kind": "correction", "value": {"total": 1e300}}'))).toBeUndefined();
    for (const values of ['[1, 1e999]', '[5e20]', '["1"]'])
      expect(
        readLink({ ...ABOUT, kind: 'number', values: JSON.parse(values) as unknown }, 'w', NOW),
      ).toMatchObject({ problems: [{ path: '/values' }] });
    expect(readLink({ ...ABOUT, kind: 'number', values: [-1e15, 0.5] }, 'w', NOW)).toMatchObject({
      name: 'n',
    });
  });
});
