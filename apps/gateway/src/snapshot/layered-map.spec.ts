import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LayeredMap } from './layered-map.js';

describe('LayeredMap', () => {
  it('is the map that a copy with the same changes is, and leaves the one before as it was', () => {
    const key = fc.integer({ min: 0, max: 400 }).map(String);
    const changes = fc.array(fc.tuple(key, fc.option(fc.integer(), { nil: undefined })), { maxLength: 150 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(key, fc.integer())),
        fc.array(changes, { maxLength: 8 }),
        (start, steps) => {
          let model = new Map(start);
          let layered: ReadonlyMap<string, number> = new Map(start);
          for (const step of steps) {
            const before = new Map(layered);
            const next = LayeredMap.with(layered, new Map(step));
            expect(new Map(layered)).toEqual(before);
            layered = next;
            model = new Map(model);
            for (const [name, value] of new Map(step))
              if (value === undefined) model.delete(name);
              else model.set(name, value);
            expect(layered.size).toBe(model.size);
            expect(new Map(layered)).toEqual(model);
            expect([...layered.keys()].sort()).toEqual([...model.keys()].sort());
            expect([...layered.values()].length).toBe(model.size);
            for (let i = 0; i <= 400; i += 7) {
              expect(layered.get(String(i))).toBe(model.get(String(i)));
              expect(layered.has(String(i))).toBe(model.has(String(i)));
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
