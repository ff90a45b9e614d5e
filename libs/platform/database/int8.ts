import pg from 'pg';

/**
 * Reads int8 as a number, in the whole process: every bigint of ours (bytes, micro-USD, sequence numbers) stays below
 * 2^53, and the parser checks it.
 */
export function readInt8AsNumber(): void {
  pg.types.setTypeParser(pg.types.builtins.INT8, (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value))
      throw new RangeError(`The bigint ${text} does not fit a JavaScript number.`);
    return value;
  });
}
