import { describe, expect, it } from 'vitest';
import { v7 } from 'uuid';
import { readMessage, type FeedbackMessage } from './feedback-message.js';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const WORKSPACES = {
  first: 'retail',
  idOf: new Map([
    ['retail', 'id-1'],
    ['default', 'id-2'],
  ]),
  nameOf: new Map(),
};
const EVENT = { inferenceId: v7(), name: 'thumbs', value: true };

const read = (fields: Partial<FeedbackMessage> = {}, value: unknown = EVENT) =>
  readMessage(
    {
      topic: 'f',
      partition: 3,
      offset: 17n,
      timestamp: BigInt(NOW - 5_000),
      headers: new Map(),
      value: Buffer.from(JSON.stringify(value)),
      ...fields,
    },
    WORKSPACES,
    NOW,
  );

describe('a message with feedback', () => {
  it('is for the first workspace unless it names another of those that are allowed', () => {
    expect(read()).toMatchObject({ workspaceId: 'id-1' });
    expect(read({ headers: new Map([['catena-workspace', 'default']]) })).toMatchObject({
      workspaceId: 'id-2',
    });
    expect(read({ headers: new Map([['catena-workspace', 'other']]) })).toMatchObject({
      malformed: expect.stringContaining('"other"'),
    });
  });

  it('keeps the id and the time it has', () => {
    const event = { ...EVENT, eventId: 'mine', givenAt: '2026-11-01T00:00:00.000Z' };
    expect(read({}, event)).toMatchObject({
      event: { eventId: 'mine', givenAt: '2026-11-01T00:00:00.000Z' },
    });
  });

  it('is the same event each time it is delivered, and another one in a topic made anew', () => {
    const id = (fields?: Partial<FeedbackMessage>) =>
      (read(fields) as { event: { eventId: string } }).event.eventId;
    expect(id()).toBe(id());
    const others = [{ partition: 4 }, { offset: 18n }, { topic: 'g' }, { timestamp: BigInt(NOW) }];
    expect(new Set([id(), ...others.map(id)]).size).toBe(5);
    expect(id({ offset: 9n }) < id({ offset: 10n })).toBe(true);
    expect(id({ topic: 't'.repeat(249), offset: 2n ** 63n - 1n }).length).toBeLessThanOrEqual(256);
  });

  it.each([-1n, 0n, BigInt(NOW + 60_000)])(
    'has the time of its receipt where its timestamp is %s',
    (timestamp) =>
      expect(read({ timestamp })).toMatchObject({ event: { givenAt: new Date(NOW).toISOString() } }),
  );

  it.each([
    null,
    undefined,
    Buffer.of(),
    Buffer.of(0xff),
    Buffer.from('null'),
    Buffer.from('3'),
    Buffer.from('{'),
  ])('is malformed where it is %s', (value) =>
    expect(read({ value })).toEqual({ malformed: expect.any(String) }),
  );
});
