import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SseSplitter, dataOf, hasForeignName } from './sse-splitter.js';

describe('SseSplitter', () => {
  const event = fc
    .array(
      fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll(/[\r\n]/g, '')),
      { minLength: 1, maxLength: 3 },
    )
    .chain((lines) => fc.constantFrom('\n', '\r\n').map((end) => ({ lines, end })));

  test('gives the same events however the stream is cut, byte for byte', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 6 }), fc.array(fc.nat(200)), (events, cuts) => {
        const texts = events.map(
          ({ lines, end }) => lines.map((line) => `data: ${line}${end}`).join('') + end,
        );
        const bytes = Buffer.from(texts.join(''));
        const splitter = new SseSplitter();
        const got: Buffer[] = [];
        let from = 0;
        for (const cut of [...cuts.map((c) => c % (bytes.length + 1)), bytes.length].sort((a, b) => a - b)) {
          got.push(...splitter.push(bytes.subarray(from, cut)));
          from = cut;
        }
        expect(got.map(String)).toEqual(texts);
        expect(splitter.pendingBytes).toBe(0);
        expect(got.map(dataOf)).toEqual(events.map(({ lines }) => lines.join('\n')));
      }),
    );
  });

  test('holds an incomplete event back', () => {
    const splitter = new SseSplitter();
    expect(splitter.push(Buffer.from('data: {"a":1}\n'))).toEqual([]);
    expect(splitter.pendingBytes).toBe(14);
    expect(splitter.push(Buffer.from('\n')).map(String)).toEqual(['data: {"a":1}\n\n']);
  });
});

describe('dataOf', () => {
  test.each([
    ['data: x\n\n', 'x'],
    ['data:x\n\n', 'x'],
    ['data: x\r\n\r\n', 'x'],
    ['data:  x\n\n', ' x'],
    ['event: message\ndata: x\n\n', 'x'],
    ['data: x\ndata: y\n\n', 'x\ny'],
    ['data: x\nid: 4\n\n', 'x'],
    ['data\n\n', ''],
    [': ping\n\n', undefined],
    ['event: ping\n\n', undefined],
  ])('%j is %j', (text, data) => {
    expect(dataOf(Buffer.from(text))).toBe(data);
  });
});

describe('hasForeignName', () => {
  test.each([
    ['event: ping\ndata: {}\n\n', true],
    ['data: {}\r\nevent:ping\r\n\r\n', true],
    ['data: {}\n\n', false],
    ['event: message\r\ndata: {}\r\n\r\n', false],
    ['event: error\ndata: {}\n\n', false],
    ['event:\ndata: event: ping\n\n', false],
  ])('of %j is %s', (event, expected) => {
    expect(hasForeignName(Buffer.from(event))).toBe(expected);
  });
});
