import { describe, expect, it } from 'vitest';
import { withNumbers } from './run-json.js';

describe('metrics as PostgreSQL writes them', () => {
  it('become JSON where a value is none', () => {
    const items = ['NaN', '-Infinity', 'Infinity', '-0', '-0.5', '1e+300'].map(
      (value) => `{"key":"k","value":${value},"timestamp":1,"step":0}`,
    );
    expect(JSON.parse(`[${withNumbers(items.join(','))}]`)).toEqual(
      ['NaN', '-Infinity', 'Infinity', -0, -0.5, 1e300].map((value) => ({
        key: 'k',
        value,
        timestamp: 1,
        step: 0,
      })),
    );
  });

  it('keep their names, whatever these look like', () => {
    const items = `{"key":${JSON.stringify('"value":NaN,')},"value":NaN,"timestamp":1,"step":0}`;
    expect(JSON.parse(withNumbers(items))).toEqual({
      key: '"value":NaN,',
      value: 'NaN',
      timestamp: 1,
      step: 0,
    });
  });
});
