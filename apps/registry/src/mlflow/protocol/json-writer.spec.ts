import { describe, expect, it } from 'vitest';
import { Verbatim, writeJson } from './json-writer.js';

describe('an answer', () => {
  it('leaves out what is unset and lists that are empty, at every level', () => {
    const answer = {
      runs: [{ info: { name: '', end: undefined, user: null }, data: { tags: [] } }],
      next: undefined,
      none: [],
    };
    expect(writeJson(answer)).toBe('{"runs":[{"info":{"name":""},"data":{}}]}');
    expect(answer.none).toEqual([]);
  });

  it('spells doubles that JSON lacks, and keeps int64 exact', () => {
    expect(writeJson({ values: [NaN, Infinity, -Infinity, 1e300, 0.1], step: 2n ** 63n - 1n })).toBe(
      '{"values":["NaN","Infinity","-Infinity",1e+300,0.1],"step":9223372036854775807}',
    );
  });

  it('keeps free-form JSON as it is', () => {
    expect(writeJson({ value: new Verbatim({ list: [], none: null }) })).toBe(
      '{"value":{"list":[],"none":null}}',
    );
  });
});
