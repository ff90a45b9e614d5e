import { describe, expect, it } from 'vitest';
import { DATA_CLASSES, higherClass, isCleared, isDataClass, type DataClass } from './clearance.js';

describe('a clearance', () => {
  it('covers its own class and all below it, and none above', () => {
    const seen = DATA_CLASSES.map((clearance) => DATA_CLASSES.map((data) => isCleared(clearance, data)));
    expect(seen).toEqual([
      [true, false, false],
      [true, true, false],
      [true, true, true],
    ]);
  });

  it.each(['secret', '', 'Public', undefined, null, 2, 'constructor', '__proto__'])(
    'that is %j covers nothing, and data of that class is seen by nobody',
    (odd) => {
      expect(isDataClass(odd)).toBe(false);
      expect(isCleared(odd as DataClass, 'public')).toBe(false);
      expect(isCleared('restricted', odd as DataClass)).toBe(false);
    },
  );
});

describe('the higher of two classes', () => {
  it('is the later in the order, whichever comes first', () => {
    for (const [i, one] of DATA_CLASSES.entries())
      for (const [j, other] of DATA_CLASSES.entries())
        expect(higherClass(one, other)).toBe(DATA_CLASSES[Math.max(i, j)]);
  });
});
